"""Log-probabilities of given tokens, in fp32 logits and fp64 sums.

`sequence_log_probabilities` is the plain way: one forward over whole sequences, padded on the right, where a causal
model cannot see the padding. `candidate_log_probabilities` encodes what the candidates of a question share once and
continues it per candidate; it gives the same numbers for less work. Only scored positions meet the output head, a few
at a time: logits of all positions of a batch would not fit at a vocabulary of 128 thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stemma.generate.cached import exact_up_to, new_cache, pick_rows
from stemma.generate.prompting import pad_left
from stemma.model.transformer import Transformer

_MAX_LOGITS = 1 << 24


@dataclass(frozen=True, slots=True)
class Scored:
    """A sequence whose tokens from index `first` on are scored, each given all before it; 1 <= first."""

    ids: Sequence[int]
    first: int

    def __post_init__(self) -> None:
        assert 1 <= self.first <= len(self.ids)


@torch.inference_mode()
def target_log_probabilities(model: Transformer, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(N,) fp64 log-probability of target i (N,) after final-norm state i (N, C)."""
    rows = max(1, _MAX_LOGITS // model.spec.vocab_size)
    parts = [torch.zeros(0, dtype=torch.float64, device=states.device)]
    for begin in range(0, len(targets), rows):
        logits = model.head(states[begin : begin + rows]).float()
        chosen = logits.gather(-1, targets[begin : begin + rows, None])[:, 0]
        parts.append((chosen - logits.logsumexp(-1)).double())
    return torch.cat(parts)


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first, each of at most `max_tokens` tokens padding included."""
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and (len(batches[-1]) + 1) * longest <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = lengths[index]
    return batches


def sequence_log_probabilities(
    model: Transformer, sequences: Sequence[Scored], max_tokens: int = 8192
) -> list[torch.Tensor]:
    """For each sequence the fp64 log-probabilities of ids[first:], on the CPU."""
    lengths = [len(sequence.ids) - 1 for sequence in sequences]
    results: list[torch.Tensor] = [torch.zeros(0, dtype=torch.float64)] * len(sequences)
    for batch in batches_by_length(lengths, _budget(model, lengths, max_tokens)):
        chosen = [sequences[i] for i in batch]
        for index, values in zip(batch, _score_batch(model, chosen), strict=True):
            results[index] = values
    return results


def candidate_log_probabilities(
    model: Transformer, questions: Sequence[Sequence[Scored]], max_tokens: int = 8192
) -> list[list[float]]:
    """For each question the summed log-probability of every candidate's ids[first:]."""
    costs = [len(candidates) * max(len(c.ids) for c in candidates) for candidates in questions]
    results: list[list[float]] = [[]] * len(questions)
    limit = exact_up_to(model.spec)
    for batch in batches_by_length(costs, max_tokens):
        chosen = [questions[i] for i in batch]
        if limit is not None and any(len(c.ids) > limit for candidates in chosen for c in candidates):
            scores = [
                [float(v.sum()) for v in sequence_log_probabilities(model, candidates, max_tokens)]
                for candidates in chosen
            ]
        else:
            scores = _score_shared(model, chosen)
        for index, values in zip(batch, scores, strict=True):
            results[index] = values
    return results


def shared_length(candidates: Sequence[Scored]) -> int:
    """How many tokens all candidates begin with, none of them scored."""
    length = min(c.first for c in candidates)
    first = candidates[0].ids
    return next((i for i in range(length) if any(c.ids[i] != first[i] for c in candidates)), length)


def _budget(model: Transformer, lengths: Sequence[int], max_tokens: int) -> int:
    limit = exact_up_to(model.spec)
    return 1 if limit is not None and max(lengths, default=0) > limit else max_tokens


@torch.inference_mode()
def _score_batch(model: Transformer, sequences: Sequence[Scored]) -> list[torch.Tensor]:
    device = model.embedding.weight.device
    longest = max(len(s.ids) - 1 for s in sequences)
    if longest == 0:
        return [torch.zeros(0, dtype=torch.float64) for _ in sequences]
    inputs = torch.tensor(
        [[*s.ids[:-1], *[0] * (longest + 1 - len(s.ids))] for s in sequences], device=device
    )
    hidden = model.hidden(inputs)  # (B, T, C)
    states = [hidden[row, s.first - 1 : len(s.ids) - 1] for row, s in enumerate(sequences)]
    targets = torch.tensor(
        [token for s in sequences for token in s.ids[s.first :]], dtype=torch.long, device=device
    )
    values = target_log_probabilities(model, torch.cat(states), targets).cpu()
    return list(values.split([len(s.ids) - s.first for s in sequences]))


@torch.inference_mode()
def _score_shared(model: Transformer, questions: Sequence[Sequence[Scored]]) -> list[list[float]]:
    device = model.embedding.weight.device
    shared = [shared_length(candidates) for candidates in questions]
    assert min(shared) >= 1
    rows = [(question, candidate) for question, group in enumerate(questions) for candidate in group]
    rests = [list(candidate.ids[shared[question] : -1]) for question, candidate in rows]
    longest = max(map(len, rests))

    tokens, positions, segments = pad_left(
        [g[0].ids[:n] for g, n in zip(questions, shared, strict=True)], device
    )
    cache = new_cache(model, len(questions), tokens.shape[1] + longest)
    context = model.hidden(tokens, position_ids=positions, segment_ids=segments, cache=cache)[
        :, -1:
    ]  # (Q, 1, C)
    index = torch.tensor([question for question, _ in rows], device=device)
    hidden = context[index]  # (R, 1, C)
    if longest:
        pick_rows(cache, index.tolist())
        padded = torch.tensor([[*rest, *[0] * (longest - len(rest))] for rest in rests], device=device)
        begin = torch.tensor([[shared[question]] for question, _ in rows], device=device)
        after = model.hidden(padded, position_ids=begin + torch.arange(longest, device=device), cache=cache)
        hidden = torch.cat((hidden, after), dim=1)  # (R, 1 + longest, C): state j predicts token shared + j

    states = [
        hidden[row, candidate.first - shared[question] : len(candidate.ids) - shared[question]]
        for row, (question, candidate) in enumerate(rows)
    ]
    targets = torch.tensor(
        [token for _, c in rows for token in c.ids[c.first :]], dtype=torch.long, device=device
    )
    values = target_log_probabilities(model, torch.cat(states), targets).cpu()
    sums = [float(part.sum()) for part in values.split([len(c.ids) - c.first for _, c in rows])]
    numbers = iter(sums)
    return [[next(numbers) for _ in group] for group in questions]
