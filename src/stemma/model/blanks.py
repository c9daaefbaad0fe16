"""Positions and prefix of a blank-filling prompt (GLM, arXiv 2103.10360, section 2.1; `get_position_ids` of ChatGLM-6B).

The context sees all of itself; the piece to write begins at the start token. A token of the context has its place and
block 0; a token of the piece has the place of the blank it fills and counts 1, 2, 3 ... in its block.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from stemma.errors import StemmaError


class BlankMarks(NamedTuple):
    """The token that begins the piece, and those that stand for a blank, in the order in which they are looked for."""

    start: int
    masks: tuple[int, ...]


class BlankPrompt(NamedTuple):
    """`position_ids` (2, T) of a prompt, the length of its `context`, and the place of the `blank` it fills."""

    position_ids: torch.Tensor
    context: int
    blank: int

    def next_positions(self, length: int) -> torch.Tensor:
        """(2, 1) positions of the token that follows `length` tokens."""
        return torch.tensor([[self.blank], [length - self.context + 1]])


def read_prompt(token_ids: Sequence[int], marks: BlankMarks) -> BlankPrompt:
    """What the marks in a prompt say. Raises StemmaError when the start token or a blank is missing."""
    ids = list(token_ids)
    if marks.start not in ids:
        raise StemmaError(
            f"the prompt has no start token {marks.start}, where a blank-filling model begins its answer; end the prompt with it"
        )
    context = ids.index(marks.start)
    mask = next((mask for mask in marks.masks if mask in ids[:context]), None)
    if mask is None:
        named = " or ".join(map(str, marks.masks)) or "any of this model"
        raise StemmaError(f"the prompt has no blank to fill (token {named}) before its start token")
    blank = ids.index(mask)
    places = torch.arange(len(ids))
    positions = torch.where(places < context, places, blank)
    return BlankPrompt(torch.stack((positions, (places - context + 1).clamp(min=0))), context, blank)
