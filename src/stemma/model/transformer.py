"""The one Transformer a Spec builds: embedding, inputs, blocks, final norm, head, and an encoder where the Spec has one.

One path serves training, evaluation and decoding. Nothing that follows from the Spec (rotary tables, masks, slopes) is
a parameter or a buffer, so a state dict holds weights and nothing else.
"""

import torch
from torch import nn

from stemma.errors import StemmaError
from stemma.model.block import build_block
from stemma.model.cache import KVCache, LayerCache, row_lengths
from stemma.model.head import Head
from stemma.model.inputs import Inputs
from stemma.model.layout import Layout, Memory
from stemma.model.norm import build_norm
from stemma.model.position.relative import RelativeBias
from stemma.model.spec import BlockSpec, EncoderSpec, RelativeSpec, Spec


class Encoder(nn.Module):
    """The stack a decoder reads. Every token of a segment sees all of it."""

    def __init__(self, spec: EncoderSpec, hidden_size: int) -> None:
        super().__init__()
        self.inputs = Inputs(spec.inputs, hidden_size)
        self.relative_bias = _relative_bias(spec.layers[0])
        self.layers = nn.ModuleList(build_block(block, hidden_size) for block in spec.layers)
        self.final_norm = build_norm(spec.final_norm, hidden_size)

    def forward(self, embedded: torch.Tensor, segment_ids: torch.Tensor | None) -> torch.Tensor:
        """States (B, S, C) of embeddings (B, S, C); padding is segment 0."""
        positions = torch.arange(embedded.shape[1], device=embedded.device).expand(embedded.shape[:2])
        layout = Layout(positions, positions, segment_ids)
        x = self.inputs(embedded, positions, None, None)
        return self.final_norm(_run(self.layers, self.relative_bias, x, layout))


class Transformer(nn.Module):
    """A language model. Weights are uninitialised until `initialize` or a checkpoint fills them."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        # Without initial values: nn.Embedding's own would cost a pass over memory that is overwritten anyway.
        empty = torch.empty(spec.vocab_size, spec.embedding_width)
        self.embedding = nn.Embedding(spec.vocab_size, spec.embedding_width, _weight=empty)
        self.encoder = Encoder(spec.encoder, spec.hidden_size) if spec.encoder else None
        self.inputs = Inputs(spec.inputs, spec.hidden_size)
        self.relative_bias = _relative_bias(spec.blocks[0])
        self.layers = nn.ModuleList(build_block(block, spec.hidden_size) for block in spec.layers)
        self.final_norm = build_norm(spec.final_norm, spec.hidden_size)
        self.head = Head(spec, self.embedding)

    def forward(
        self,
        token_ids: torch.Tensor,
        *,
        position_ids: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        prefix_lengths: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        memory: Memory | None = None,
        cache: KVCache | None = None,
    ) -> torch.Tensor:
        """Logits (B, T, V) for `token_ids` (B, T); the other arguments as in `hidden`."""
        return self.head(
            self.hidden(
                token_ids,
                position_ids=position_ids,
                segment_ids=segment_ids,
                prefix_lengths=prefix_lengths,
                token_type_ids=token_type_ids,
                memory=memory,
                cache=cache,
            )
        )

    def encode(self, source_ids: torch.Tensor, segment_ids: torch.Tensor | None = None) -> Memory:
        """The encoder's states for `source_ids` (B, S), padding being segment 0. Raises StemmaError without an encoder."""
        if self.encoder is None:
            raise StemmaError("this model has no encoder; give its tokens to the model itself")
        return Memory(self.encoder(self.embedding(source_ids), segment_ids), segment_ids)

    def hidden(
        self,
        token_ids: torch.Tensor,
        *,
        position_ids: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        prefix_lengths: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        memory: Memory | None = None,
        cache: KVCache | None = None,
    ) -> torch.Tensor:
        """Final-norm states (B, T, C), what the head reads.

        Arguments, each (B, T): `position_ids`, counted from the cache's end when absent, or (B, 2, T) where a token has
        two positions; `segment_ids`, 0 for padding, segments never see each other; `prefix_lengths`, tokens at a
        segment's start that its whole segment sees (with a cache: in its first call alone); `token_type_ids`. `memory`
        is what `encode` gives, and stands in the cache where there is one. With `cache`, the T tokens come after the
        cached ones, which they see by the same rules.
        """
        batch, length = token_ids.shape
        start = cache.length if cache is not None else 0
        if position_ids is None:
            position_ids = torch.arange(start, start + length, device=token_ids.device).expand(batch, length)
        two = position_ids.ndim == 3
        positions, blocks = (position_ids[:, 0], position_ids[:, 1]) if two else (position_ids, None)
        if cache is None:
            lengths = None if self.training else row_lengths(positions, segment_ids)
            layout = Layout(positions, positions, segment_ids, prefix_lengths, blocks, lengths, memory)
        else:
            assert prefix_lengths is None or start == 0, "a prefix is encoded in one piece"
            cache.extend(positions, segment_ids)
            segments = None if cache.one_segment else cache.segment_ids[:, : cache.length]
            keys = cache.position_ids[:, : cache.length]
            layout = Layout(
                positions,
                keys,
                segments,
                prefix_lengths,
                blocks,
                cache.prompt_lengths,
                memory or cache.memory,
            )
        x = self.inputs(self.embedding(token_ids), positions, blocks, token_type_ids)  # (B, T, C)
        caches = cache.layers if cache is not None else None
        return self.final_norm(_run(self.layers, self.relative_bias, x, layout, caches, start))


def _run(
    layers: nn.ModuleList,
    relative_bias: RelativeBias | None,
    x: torch.Tensor,
    layout: Layout,
    caches: list[LayerCache] | None = None,
    start: int = 0,
) -> torch.Tensor:
    if relative_bias is not None:
        layout.relative_bias = relative_bias(layout.position_ids, layout.key_positions)
    for index, block in enumerate(layers):
        x = block(x, layout, caches[index] if caches is not None else None, start)
    return x


def _relative_bias(block: BlockSpec) -> RelativeBias | None:
    attention = block.attention
    if not isinstance(attention.position, RelativeSpec):
        return None
    return RelativeBias(attention.position, attention.num_heads, attention.causal)
