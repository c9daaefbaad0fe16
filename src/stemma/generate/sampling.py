"""What the next token is drawn from: pure functions on logits (B, V), all in fp32.

The order is the field's: repetition penalty (arXiv 1909.05858, section 4.1), temperature, top-k, top-p (nucleus,
arXiv 1904.09751). Ties go to the lower id. A draw is one uniform number per row put through the inverse cumulative
distribution in id order, so a row's token depends on its own logits and its own generator, never on the batch.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stemma.errors import CheckFailed, StemmaError


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """How to decode. The defaults are greedy."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    """0 is greedy"""
    top_k: int = 0
    """keep the k most probable tokens, 0 keeps all"""
    top_p: float = 1.0
    """keep the smallest set of tokens that holds this much probability"""
    repetition_penalty: float = 1.0
    """divide the positive logits of tokens already present, multiply the negative ones"""
    seed: int = 0
    """prompt i of a call draws from a generator seeded with seed + i"""
    stop_ids: tuple[int, ...] = ()
    """tokens that end an answer and do not belong to it"""
    stop_strings: tuple[str, ...] = ()
    """texts that end an answer and do not belong to it"""
    vocab_limit: int | None = None
    """ids from here on (rows that only pad the matrix) are never chosen"""
    batch_size: int = 16
    """prompts decoded together at most"""

    def __post_init__(self) -> None:
        _check(self.max_new_tokens >= 1, f"max_new_tokens is {self.max_new_tokens}; at least 1")
        _check(self.temperature >= 0, f"temperature is {self.temperature}; 0 (greedy) or more")
        _check(self.top_k >= 0, f"top_k is {self.top_k}; 0 (all) or more")
        _check(0 < self.top_p <= 1, f"top_p is {self.top_p}; above 0 and at most 1")
        _check(self.repetition_penalty > 0, f"repetition_penalty is {self.repetition_penalty}; above 0")
        _check(0 <= self.seed < 2**62, f"seed is {self.seed}; between 0 and 2^62")
        _check(self.batch_size >= 1, f"batch_size is {self.batch_size}; at least 1")
        _check("" not in self.stop_strings, "stop_strings holds an empty text; remove it")
        _check(self.vocab_limit is None or self.vocab_limit >= 1, "vocab_limit leaves no token; at least 1")

    def with_limits(self, stop_ids: tuple[int, ...], vocab_limit: int) -> "GenerationSettings":
        """These settings with what a model's tokenizer adds to them."""
        return dataclasses.replace(self, stop_ids=stop_ids, vocab_limit=vocab_limit)


def penalize_repetition(logits: torch.Tensor, seen: Sequence[Sequence[int]], penalty: float) -> torch.Tensor:
    """(B, V) with the logits of row i's `seen[i]` ids divided by `penalty` when positive, multiplied when negative."""
    result = logits.clone()
    for row, ids in enumerate(seen):
        index = torch.tensor(sorted(set(ids)), dtype=torch.long, device=logits.device)
        values = result[row, index]
        result[row, index] = torch.where(values > 0, values / penalty, values * penalty)
    return result


def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """(B, V) with all but the k largest logits of each row at -inf."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, order[:, k:], -torch.inf)


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """(B, V) with -inf outside the smallest set of most probable tokens whose probability reaches `p`."""
    values, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = values.softmax(dim=-1).double()
    before = probabilities.cumsum(dim=-1) - probabilities  # probability of everything ranked higher
    return logits.scatter(-1, order, values.masked_fill(before >= p, -torch.inf))


def next_token_probabilities(
    logits: torch.Tensor, settings: GenerationSettings, seen: Sequence[Sequence[int]]
) -> torch.Tensor:
    """(B, V) fp32: the distribution that `settings` draws from. `seen[i]` are row i's prompt and answer so far.

    With temperature 0 all probability lies on the largest logit, the limit of small temperatures.
    """
    logits = adjusted_logits(logits, settings, seen)
    if settings.temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    logits = (
        logits - logits.amax(dim=-1, keepdim=True)
    ) / settings.temperature  # no overflow at small temperatures
    if 0 < settings.top_k < logits.shape[-1]:
        logits = keep_top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = keep_top_p(logits, settings.top_p)
    return logits.softmax(dim=-1)


def adjusted_logits(
    logits: torch.Tensor, settings: GenerationSettings, seen: Sequence[Sequence[int]]
) -> torch.Tensor:
    """(B, V) fp32 before temperature: the vocabulary limit and the repetition penalty applied."""
    logits = logits.float()
    if bool(torch.isnan(logits).any()):
        raise CheckFailed(
            "the model gives logits that are not numbers; load it in float32 or verify its weights"
        )
    if settings.vocab_limit is not None and settings.vocab_limit < logits.shape[-1]:
        logits = logits.clone()
        logits[:, settings.vocab_limit :] = -torch.inf
    if settings.repetition_penalty != 1:
        logits = penalize_repetition(logits, seen, settings.repetition_penalty)
    return logits


def draw(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """(B,) ids from (B, V) probabilities and (B,) fp64 numbers in [0, 1)."""
    cumulative = probabilities.double().cumsum(dim=-1)
    # Scaled by the row's own total, so that rounding cannot push a draw past the last possible token.
    goal = uniforms.to(cumulative)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, goal, right=True)[:, 0]


def choose(
    logits: torch.Tensor,
    settings: GenerationSettings,
    seen: Sequence[Sequence[int]],
    generators: Sequence[torch.Generator],
) -> list[int]:
    """The next id of every row of logits (B, V); row i draws from `generators[i]` (not advanced when greedy)."""
    if settings.temperature == 0:
        return adjusted_logits(logits, settings, seen).argmax(dim=-1).tolist()
    probabilities = next_token_probabilities(logits, settings, seen)
    uniforms = torch.cat([torch.rand(1, generator=g, dtype=torch.float64) for g in generators])
    return draw(probabilities, uniforms).tolist()


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise StemmaError(sentence)
