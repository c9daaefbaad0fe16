"""Filling the masks of a masked language model: every mask becomes its most probable token, all read in one pass."""

import torch

from stemma.errors import StemmaError
from stemma.generate.language_model import LanguageModel

MASK = "[MASK]"


@torch.inference_mode()
def fill_masks(language_model: LanguageModel, text: str) -> tuple[str, list[int]]:
    """`text` with its [MASK] filled, and the ids chosen, in order. Raises StemmaError for a text without one."""
    tokenizer = language_model.tokenizer
    mask = tokenizer.special_ids.get(MASK)
    if mask is None:
        raise StemmaError(
            f"{language_model.folder}: the tokenizer has no {MASK} token, so there is nothing to fill"
        )
    before, after = language_model.text_marks
    ids = [*before, *tokenizer.encode_with_specials(text), *after]
    places = [place for place, token in enumerate(ids) if token == mask]
    if not places:
        raise StemmaError(f"the text has no {MASK}; this model fills masks and continues no text")
    if len(ids) > language_model.model.spec.max_seq_len:
        raise StemmaError(
            f"the text has {len(ids)} tokens and the model holds {language_model.model.spec.max_seq_len}; shorten it"
        )
    logits = language_model.model(torch.tensor([ids], device=language_model.model.embedding.weight.device))
    chosen = [int(logits[0, place, : tokenizer.vocab_size].argmax()) for place in places]
    for place, token in zip(places, chosen, strict=True):
        ids[place] = token
    return tokenizer.decode(ids[len(before) : len(ids) - len(after)]), chosen
