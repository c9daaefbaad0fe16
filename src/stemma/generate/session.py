"""A conversation that keeps its KV cache.

The next prompt is compared with the tokens in the cache and only what comes after their common beginning is encoded.
That is exact for a causal model; where it would not be (dynamic NTK beyond its trained length, a context that sees all of
itself, an encoder), all is encoded anew.
"""

from collections.abc import Iterator, Sequence

import torch

from stemma.generate.cached import cut, exact_up_to, make_room, new_cache
from stemma.generate.decode import last_logits
from stemma.generate.prompting import PromptBatch, Prompting, batch_of, encode_sources
from stemma.generate.sampling import GenerationSettings, choose
from stemma.generate.stopping import Answer, DecoderFor, FinishReason
from stemma.model.layout import Memory
from stemma.model.transformer import Transformer

_FIRST_CAPACITY = 256


class ChatSession:
    """One conversation with a model; `num_reused` tokens of the last prompt came from the cache."""

    def __init__(self, model: Transformer, prompting: Prompting = Prompting()) -> None:
        self.model, self.prompting = model, prompting
        self.num_reused = 0
        self.finish_reason: FinishReason | None = None
        self._cache = new_cache(model, 1, min(_FIRST_CAPACITY, model.spec.max_seq_len))
        self._cached: list[int] = []
        self._batch: PromptBatch | None = None

    def stream(
        self, prompt: Sequence[int], settings: GenerationSettings, decoder: DecoderFor
    ) -> Iterator[str]:
        """Pieces of the answer's text as its tokens come; equal to what `generate` answers to `[prompt]`.

        May be left at any time: what the cache holds stays right. Raises StemmaError like `generate`.
        """
        start = self.prompting.decoder_prompt(self.model, prompt)
        answer = Answer(start, settings, self.model.spec.max_seq_len, decoder)
        generator = torch.Generator().manual_seed(settings.seed)
        self.finish_reason = None
        logits = self.encode(prompt)
        while True:
            (token,) = choose(logits, settings, [answer.seen], [generator])
            text = answer.add(token)
            self.finish_reason = answer.finish_reason
            if text:
                yield text
            if answer.finish_reason is not None:
                return
            logits = self._append([token])

    @torch.inference_mode()
    def encode(self, prompt: Sequence[int]) -> torch.Tensor:
        """Bring the cache to exactly `prompt` and return the logits (1, V) after its last token."""
        device = self.model.embedding.weight.device
        if self.model.spec.encoder is not None:
            return self._restart(
                batch_of([self.prompting.decoder_prompt(self.model, prompt)], None, device),
                encode_sources(self.model, [prompt], device),
            )
        if self.prompting.blanks is not None:  # every place of a context sees all of it: nothing can be kept
            return self._restart(batch_of([prompt], self.prompting.blanks, device))
        limit = exact_up_to(self.model.spec)
        exact = limit is None or max(len(prompt), len(self._cached)) <= limit
        self.num_reused = _common(self._cached, prompt[:-1]) if exact else 0
        del self._cached[self.num_reused :]
        # An interrupt may have left more in the cache than `_cached` tells of; the list is the truth.
        cut(self._cache, self.num_reused)
        return self._append(prompt[self.num_reused :])

    def _restart(self, batch: PromptBatch, memory: Memory | None = None) -> torch.Tensor:
        """Begin anew with a prompt that is encoded in one piece."""
        self.num_reused, self._batch = 0, batch
        self._cached = batch.token_ids[0].tolist()
        self._cache = new_cache(self.model, 1, max(_FIRST_CAPACITY, len(self._cached)), memory)
        return last_logits(
            self.model,
            batch.token_ids,
            self._cache,
            batch.position_ids,
            prefix_lengths=batch.prefix_lengths,
        )

    def _append(self, tokens: Sequence[int]) -> torch.Tensor:
        make_room(self._cache, len(self._cached) + len(tokens))
        device = self.model.embedding.weight.device
        positions = None if self._batch is None else self._batch.next_positions([len(self._cached)])
        logits = last_logits(self.model, torch.tensor([list(tokens)], device=device), self._cache, positions)
        self._cached += tokens
        return logits


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
