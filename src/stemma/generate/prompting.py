"""How a model takes its prompt: as tokens to go on from, as a context with a blank to fill, or as the source of an encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stemma.errors import StemmaError
from stemma.model.blanks import BlankMarks, BlankPrompt, read_prompt
from stemma.model.layout import Memory
from stemma.model.transformer import Transformer


@dataclass(frozen=True)
class Prompting:
    """`blanks` for models that fill blanks; `decoder_start`, the first id of a decoder that reads an encoder."""

    blanks: BlankMarks | None = None
    decoder_start: int | None = None

    def decoder_prompt(self, model: Transformer, prompt: Sequence[int]) -> list[int]:
        """The tokens the answer follows: the prompt, or the start token of a decoder whose encoder reads the prompt.

        Raises StemmaError for a model that generates nothing and for one whose start token is not known.
        """
        if not model.spec.causal:
            raise StemmaError(
                "this model fills masks and continues no text; give a text with mask tokens in it"
            )
        if model.spec.encoder is None:
            return list(prompt)
        if not prompt:
            raise StemmaError("a prompt has no tokens for the encoder to read")
        if self.decoder_start is None:
            raise StemmaError(
                "decoder_start_token_id is missing; config.json must name the id a decoder begins with"
            )
        return [self.decoder_start]


@dataclass
class PromptBatch:
    """Prompts side by side: token_ids (B, T), position_ids (B, T) or (B, 2, T), segment_ids (B, T) or None without padding.

    `prefix_lengths` (B, T) and `blanks` are those of prompts with a blank to fill, else None.
    """

    token_ids: torch.Tensor
    position_ids: torch.Tensor
    segment_ids: torch.Tensor | None
    prefix_lengths: torch.Tensor | None = None
    blanks: list[BlankPrompt] | None = None

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these."""
        if self.blanks is not None:
            self.blanks = [self.blanks[row] for row in rows]

    def next_positions(self, lengths: Sequence[int]) -> torch.Tensor:
        """Positions of the tokens that follow `lengths` tokens, (B, 1) or (B, 2, 1)."""
        device = self.token_ids.device
        if self.blanks is None:
            return torch.tensor([[length] for length in lengths], device=device)
        pairs = zip(self.blanks, lengths, strict=True)
        return torch.stack([blank.next_positions(length) for blank, length in pairs]).to(device)


def batch_of(
    prompts: Sequence[Sequence[int]], blanks: BlankMarks | None, device: torch.device
) -> PromptBatch:
    """Prompts padded on the left. Raises StemmaError for a prompt without the blank a model needs."""
    token_ids, position_ids, segment_ids = pad_left(prompts, device)
    segments = None if bool(segment_ids.all()) else segment_ids
    if blanks is None:
        return PromptBatch(token_ids, position_ids, segments)
    read = [read_prompt(prompt, blanks) for prompt in prompts]
    longest = token_ids.shape[1]
    two = torch.zeros(len(prompts), 2, longest, dtype=torch.long, device=device)
    for row, prompt in enumerate(read):
        two[row, :, longest - prompt.position_ids.shape[1] :] = prompt.position_ids.to(device)
    context = torch.tensor([[prompt.context] for prompt in read], device=device).expand(-1, longest)
    return PromptBatch(token_ids, two, segments, context, read)


def encode_sources(model: Transformer, sources: Sequence[Sequence[int]], device: torch.device) -> Memory:
    """The encoder's states of sources padded on the right, (B, longest, C)."""
    longest = max(map(len, sources))
    tokens = torch.tensor([list(s) + [0] * (longest - len(s)) for s in sources], device=device)
    lengths = torch.tensor([[len(s)] for s in sources], device=device)
    segments = (torch.arange(longest, device=device) < lengths).long()
    return model.encode(tokens, None if bool(segments.all()) else segments)


def pad_left(
    sequences: Sequence[Sequence[int]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """token_ids, position_ids and segment_ids, each (B, longest), with id 0, position 0 and segment 0 as padding."""
    longest = max(map(len, sequences))
    tokens = torch.tensor([[0] * (longest - len(s)) + list(s) for s in sequences], device=device)
    padding = torch.tensor([[longest - len(s)] for s in sequences], device=device)
    index = torch.arange(longest, device=device) - padding
    return tokens, index.clamp(min=0), (index >= 0).long()
