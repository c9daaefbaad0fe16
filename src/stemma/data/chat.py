"""Dialogues: one causal sample per session, with a loss on every assistant turn and the token that stops it.

Under a causal mask the session's summed loss equals the sum of the last-answer losses of all its prefixes, term by
term, so splitting a session of n equal turns buys nothing for (n + 1) / 2 times the tokens. What differs is the
normalisation; `loss_weights` gives the exact weight of every turn for each choice.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from stemma.data.causal import inputs_key
from stemma.data.sample import Sample, causal_sample
from stemma.data.shards import Item, TokenShards, open_if_same, write_shards
from stemma.errors import StemmaError

if TYPE_CHECKING:
    from stemma.tokenizer.messages import Message
    from stemma.tokenizer.template import ChatTemplate
    from stemma.tokenizer.tokenizer import Tokenizer

Normalise = Literal["token", "sample", "turn"]
Layout = Literal["session", "split_all", "split_last"]


def session_sample(
    token_ids: NDArray[np.int32], target_mask: NDArray[np.bool_], normalise: Normalise = "token"
) -> Sample:
    """A tokenized session as one causal segment. Its target tokens weigh 1 each ("token"), or 1 together ("sample"),
    or 1 per assistant turn ("turn")."""
    sample = causal_sample(token_ids, target_mask)
    weights = sample.weights
    if normalise == "sample":
        weights /= max(1.0, float(weights.sum()))
    elif normalise == "turn":
        for start, end in _spans(weights > 0):
            weights[start:end] /= end - start
    return sample


def split_last_answers(token_ids: NDArray[np.int32], target_mask: NDArray[np.bool_]) -> list[Sample]:
    """The session once per assistant turn: cut after that turn, with a loss on that turn only."""
    samples: list[Sample] = []
    for start, end in _spans(target_mask):
        only = np.zeros(end, bool)
        only[start:end] = True
        samples.append(causal_sample(token_ids[:end], only))
    return samples


def loss_weights(
    dialogues: Sequence[int | Sequence[int]], normalise: Normalise = "token", layout: Layout = "session"
) -> tuple[Fraction, ...]:
    """The share of the loss that falls on the 1st, 2nd, ... answer of the dialogues; the shares add up to 1.

    A dialogue is its number of turns (answers of equal length) or the token counts of its answers. `split_all` makes
    one sample per turn with a loss on all answers up to it, `split_last` with a loss on its last answer only.
    """
    answers = [[1] * d if isinstance(d, int) else list(d) for d in dialogues]
    if not any(answers) or any(length < 1 for dialogue in answers for length in dialogue):
        raise StemmaError("loss_weights: every dialogue needs at least one answer of at least one token")
    totals = [Fraction(0)] * max(map(len, answers))
    for lengths in answers:
        for turns in _sample_turns(len(lengths), layout):
            inside = sum(lengths[t] for t in turns)
            for t in turns:
                totals[t] += {"token": Fraction(lengths[t]), "sample": Fraction(lengths[t], inside)}.get(
                    normalise, Fraction(1)
                )
    return tuple(total / sum(totals) for total in totals)


def tokenize_dialogues(
    folder: Path,
    paths: Sequence[Path],
    tokenizer: "Tokenizer",
    template: "ChatTemplate",
    sequence_length: int,
) -> TokenShards:
    """The dialogues of JSON Lines files ({"messages": [{role, content}, ...]}) as token shards with target masks.

    A dialogue that does not fit `sequence_length` inputs loses whole turns from its end. The index counts `dialogues`
    read, those `cut` and the `messages_cut` from them, `too_long` (left out: the first answer does not fit) and
    `no_targets` (left out: no assistant turn). Raises StemmaError when nothing is left.
    """
    settings = ("dialogues", template.source, " ".join(template.stop_tokens), str(sequence_length))
    key = inputs_key(paths, tokenizer.fingerprint, *settings)
    shards = open_if_same(folder, key)
    if shards is None:
        names = ("dialogues", "cut", "messages_cut", "too_long", "no_targets")
        counts: dict[str, int] = dict.fromkeys(names, 0)
        items = _items(paths, tokenizer, template, sequence_length, counts)
        shards = write_shards(folder, items, key=key, vocab_size=tokenizer.vocab_size, counts=counts)
    return shards


def _items(
    paths: Sequence[Path],
    tokenizer: "Tokenizer",
    template: "ChatTemplate",
    sequence_length: int,
    counts: dict[str, int],
) -> Iterator[Item]:
    from stemma.corpus.read import read_records
    from stemma.tokenizer.template import sample_messages

    kept = 0
    for path in paths:
        for place, record in read_records(path):
            counts["dialogues"] += 1
            messages = _messages(record, place)
            for said in sample_messages(template, messages) or [messages]:
                item = _item(said, place, tokenizer, template, sequence_length, counts)
                if item is not None:
                    kept += 1
                    yield item
    if not kept:
        found = ", ".join(f"{value} {name}" for name, value in counts.items() if value) or "no dialogues"
        raise StemmaError(f"{', '.join(map(str, paths))}: leaves nothing to train on ({found})")


def _item(
    messages: "Sequence[Message]",
    place: str,
    tokenizer: "Tokenizer",
    template: "ChatTemplate",
    sequence_length: int,
    counts: dict[str, int],
) -> Item | None:
    """The longest run of whole turns, ending with an answer, whose tokens fit; found by bisection."""
    from stemma.tokenizer.template import encode_chat

    def encode(length: int) -> Item:
        kept = messages[:length]
        try:
            learned = "last" if template.one_answer else "all"
            tokens = encode_chat(tokenizer, template, kept, answers=learned)
        except StemmaError as error:
            raise type(error)(f"{place}: {error}") from None
        said = sum(
            len(m["content"].encode("utf-8"))
            for m in (kept[-1:] if template.one_answer else kept)
            if m["role"] == "assistant"
        )
        return Item(token_ids=tokens.ids, num_bytes=said, target_mask=tokens.target_mask)

    ends = [number for number, message in enumerate(messages, start=1) if message["role"] == "assistant"]
    ends = ends[-1:] if template.one_answer else ends
    if not ends:
        counts["no_targets"] += 1
        return None
    best = encode(ends[-1])
    if len(best.token_ids) - 1 > sequence_length:
        fits, best = 0, None
        low, high = 0, len(ends) - 1  # ends[:low] fit, ends[high] does not
        while low < high:
            middle = (low + high) // 2
            candidate = encode(ends[middle])
            if len(candidate.token_ids) - 1 <= sequence_length:
                low, best, fits = middle + 1, candidate, ends[middle]
            else:
                high = middle
        if best is None:
            counts["too_long"] += 1
            return None
        counts["cut"] += 1
        counts["messages_cut"] += len(messages) - fits
    return best


def _messages(record: Mapping[str, Any], place: str) -> "Sequence[Message]":
    messages = record.get("messages")
    if not isinstance(messages, list) or not all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
        for m in messages
    ):
        raise StemmaError(
            f'{place}: a dialogue is {{"messages": [{{"role": ..., "content": ...}}, ...]}}; convert the file to that form'
        )
    return messages


def _sample_turns(num_turns: int, layout: Layout) -> list[list[int]]:
    if layout == "session":
        return [list(range(num_turns))]
    if layout == "split_all":
        return [list(range(turn + 1)) for turn in range(num_turns)]
    return [[turn] for turn in range(num_turns)]


def _spans(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, end) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
