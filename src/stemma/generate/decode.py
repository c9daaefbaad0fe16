"""Batched generation with a KV cache.

Prompts of one batch are padded on the left (segment 0, which no token of a prompt sees) and counted from their own
first token, so every row computes what it would compute alone; finished rows leave the batch. The head is applied to
the last position only. A model that fills blanks sees the whole context of a prompt from each of its places; a decoder
with an encoder begins with its start token and reads what the encoder made of the prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stemma.generate.cached import exact_up_to, new_cache, pick_rows
from stemma.generate.prompting import Prompting, batch_of, encode_sources
from stemma.generate.sampling import GenerationSettings, choose
from stemma.generate.stopping import Answer, DecoderFor, FinishReason
from stemma.model.cache import KVCache
from stemma.model.transformer import Transformer
from stemma.progress import Progress


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer: its ids without the stop id; its text, cut before a stop string, None without a decoder."""

    ids: list[int]
    text: str | None
    finish_reason: FinishReason


def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    settings: GenerationSettings,
    decoder: DecoderFor | None = None,
    progress: Progress | None = None,
    prompting: Prompting = Prompting(),
) -> list[Generation]:
    """Answers to prompts of token ids, in their order; `progress` advances by one for each.

    A prompt's answer does not depend on the others: prompt i draws from its own generator, seeded `settings.seed + i`.
    Raises StemmaError for an empty prompt, for one that leaves no room below max_seq_len, and for a model that
    generates nothing.
    """
    starts = [prompting.decoder_prompt(model, prompt) for prompt in prompts]
    rows = [Answer(start, settings, model.spec.max_seq_len, decoder) for start in starts]
    generators = [torch.Generator().manual_seed(settings.seed + index) for index in range(len(rows))]
    order = sorted(range(len(rows)), key=lambda index: len(prompts[index]))
    limit = exact_up_to(model.spec)
    alone = limit is not None and any(row.max_length > limit for row in rows)
    size = 1 if alone else settings.batch_size
    for begin in range(0, len(order), size):
        chosen = order[begin : begin + size]
        sources = [prompts[i] for i in chosen]
        _decode(
            model,
            [rows[i] for i in chosen],
            sources,
            settings,
            [generators[i] for i in chosen],
            progress,
            prompting,
        )
    return [_result(row) for row in rows]


@torch.inference_mode()
def last_logits(
    model: Transformer,
    token_ids: torch.Tensor,
    cache: KVCache,
    position_ids: torch.Tensor | None = None,
    segment_ids: torch.Tensor | None = None,
    prefix_lengths: torch.Tensor | None = None,
) -> torch.Tensor:
    """(B, V) logits after the last of `token_ids` (B, T), which are appended to the cache."""
    hidden = model.hidden(
        token_ids,
        position_ids=position_ids,
        segment_ids=segment_ids,
        prefix_lengths=prefix_lengths,
        cache=cache,
    )  # (B, T, C)
    return model.head(hidden[:, -1])


@torch.inference_mode()
def _decode(
    model: Transformer,
    rows: list[Answer],
    sources: Sequence[Sequence[int]],
    settings: GenerationSettings,
    generators: list[torch.Generator],
    progress: Progress | None,
    prompting: Prompting,
) -> None:
    device = model.embedding.weight.device
    batch = batch_of([row.prompt for row in rows], prompting.blanks, device)
    new = max(row.max_length - len(row.prompt) for row in rows)
    capacity = batch.token_ids.shape[1] + new - 1  # the last token is chosen, never fed
    memory = encode_sources(model, sources, device) if model.spec.encoder else None
    cache = new_cache(model, len(rows), capacity, memory)
    logits = last_logits(
        model, batch.token_ids, cache, batch.position_ids, batch.segment_ids, batch.prefix_lengths
    )
    while True:
        chosen = choose(logits, settings, [row.seen for row in rows], generators)
        for row, token in zip(rows, chosen, strict=True):
            row.add(token)
        live = [index for index, row in enumerate(rows) if row.finish_reason is None]
        if progress is not None and len(live) < len(rows):
            progress.advance(len(rows) - len(live))
        if not live:
            return
        if len(live) < len(rows):
            pick_rows(cache, live)
            batch.keep(live)
            rows, generators = [rows[i] for i in live], [generators[i] for i in live]
        positions = batch.next_positions([len(row.prompt) + len(row.ids) - 1 for row in rows])
        tokens = torch.tensor([[row.ids[-1]] for row in rows], device=device)
        logits = last_logits(model, tokens, cache, positions)


def _result(row: Answer) -> Generation:
    assert row.finish_reason is not None
    return Generation(row.ids, row.text, row.finish_reason)
