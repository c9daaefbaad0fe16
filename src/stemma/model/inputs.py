"""From token embeddings to the first layer: scale, projection, learned positions, token types, norm; see `InputSpec`."""

import torch
from torch import nn

from stemma.errors import StemmaError
from stemma.model.norm import build_norm
from stemma.model.spec import InputSpec


class Inputs(nn.Module):
    """Embeddings (B, T, width) to (B, T, C). Has no parameters where a family does nothing to its embeddings."""

    def __init__(self, spec: InputSpec, hidden_size: int) -> None:
        super().__init__()
        self.spec = spec
        self.projection = nn.Linear(spec.width, hidden_size, bias=False) if spec.width else None
        rows = spec.positions.num_rows if spec.positions else 0
        self.position = _table(rows, hidden_size)
        self.block_position = _table(rows if spec.positions and spec.positions.blocks else 0, hidden_size)
        self.token_type = _table(spec.num_token_types, hidden_size)
        self.norm = build_norm(spec.norm, hidden_size)

    def forward(
        self,
        embedded: torch.Tensor,
        position_ids: torch.Tensor,
        block_positions: torch.Tensor | None,
        token_type_ids: torch.Tensor | None,
    ) -> torch.Tensor:
        x = embedded if self.spec.scale == 1.0 else embedded * self.spec.scale
        if self.projection is not None:
            x = self.projection(x)
        if self.position is not None:
            x = x + self.position(self._row(position_ids))
        if self.block_position is not None:
            blocks = torch.zeros_like(position_ids) if block_positions is None else block_positions
            x = x + self.block_position(self._row(blocks))
        if self.token_type is not None:
            types = torch.zeros_like(position_ids) if token_type_ids is None else token_type_ids
            x = x + self.token_type(types)
        return self.norm(x)

    def _row(self, positions: torch.Tensor) -> torch.Tensor:
        learned = self.spec.positions
        assert learned is not None
        last = int(positions.max())
        if last >= learned.max_seq_len:
            raise StemmaError(
                f"position {last} lies beyond the {learned.max_seq_len} learned positions of this model; give it shorter text"
            )
        return positions + learned.offset


def _table(rows: int, width: int) -> nn.Embedding | None:
    # Without initial values, which a checkpoint or `initialize` gives.
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width)) if rows else None
