"""The one Transformer a Spec builds: embedding, blocks, final norm, head.

One path serves training, evaluation and decoding. Nothing that follows from the Spec (rotary tables, masks, slopes) is
a parameter or a buffer, so a state dict holds weights and nothing else.
"""

import torch
from torch import nn

from stemma.model.block import build_block
from stemma.model.cache import KVCache
from stemma.model.head import Head
from stemma.model.layout import Layout
from stemma.model.norm import build_norm
from stemma.model.spec import Spec


class Transformer(nn.Module):
    """A decoder-only language model. Weights are uninitialised until `initialize` or a checkpoint fills them."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        # Without initial values: nn.Embedding's own would cost a pass over memory that is overwritten anyway.
        empty = torch.empty(spec.vocab_size, spec.hidden_size)
        self.embedding = nn.Embedding(spec.vocab_size, spec.hidden_size, _weight=empty)
        self.layers = nn.ModuleList(build_block(block, spec.hidden_size) for block in spec.layers)
        self.final_norm = build_norm(spec.final_norm, spec.hidden_size)
        self.head = Head(spec.head, self.embedding)

    def forward(
        self,
        token_ids: torch.Tensor,
        *,
        position_ids: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        prefix_lengths: torch.Tensor | None = None,
        cache: KVCache | None = None,
    ) -> torch.Tensor:
        """Logits (B, T, V) for `token_ids` (B, T); the other arguments as in `hidden`."""
        return self.head(
            self.hidden(
                token_ids,
                position_ids=position_ids,
                segment_ids=segment_ids,
                prefix_lengths=prefix_lengths,
                cache=cache,
            )
        )

    def hidden(
        self,
        token_ids: torch.Tensor,
        *,
        position_ids: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        prefix_lengths: torch.Tensor | None = None,
        cache: KVCache | None = None,
    ) -> torch.Tensor:
        """Final-norm states (B, T, C), what the head reads.

        Arguments, each (B, T): `position_ids`, counted from the cache's end when absent; `segment_ids`, 0 for padding,
        segments never see each other; `prefix_lengths`, tokens at a segment's start that its whole segment sees (not
        with a cache). With `cache`, the T tokens come after the cached ones, which they see by the same rules.
        """
        batch, length = token_ids.shape
        start = cache.length if cache is not None else 0
        if position_ids is None:
            position_ids = torch.arange(start, start + length, device=token_ids.device).expand(batch, length)
        if cache is None:
            layout = Layout(position_ids, position_ids, segment_ids, prefix_lengths)
        else:
            assert prefix_lengths is None, "a prefix is encoded in one piece; a cache continues causally"
            cache.extend(position_ids, segment_ids)
            segments = None if cache.one_segment else cache.segment_ids[:, : cache.length]
            layout = Layout(position_ids, cache.position_ids[:, : cache.length], segments)
        x = self.embedding(token_ids)  # (B, T, C)
        for index, block in enumerate(self.layers):
            x = block(x, layout, cache.layers[index] if cache is not None else None, start)
        return self.final_norm(x)
