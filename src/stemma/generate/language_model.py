"""A checkpoint folder ready to speak: weights, tokenizer and, where there is one, the chat template."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from stemma.errors import StemmaError
from stemma.generate.prompting import Prompting
from stemma.model.blanks import BlankMarks
from stemma.model.transformer import Transformer
from stemma.progress import say
from stemma.tokenizer.template import ChatTemplate, Message, builtin_template, encode_chat, template_of
from stemma.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from stemma.checkpoint import Checkpoint

_START_NAMES = ("<|startofpiece|>", "<sop>", "sop")
_MASK_NAMES = ("[gMASK]", "[MASK]", "[sMASK]")

DType = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class LanguageModel:
    """Model and tokenizer of one folder; `template` is None for a base model."""

    folder: Path
    model: Transformer
    tokenizer: Tokenizer
    template: ChatTemplate | None
    eos_ids: tuple[int, ...]
    """tokens that end a text, by the tokenizer and by config.json"""
    prompting: Prompting = Prompting()
    """how the model takes a prompt"""
    text_marks: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    """ids the family puts before and after a plain text"""

    @property
    def document_start(self) -> list[int]:
        """What every training document begins with: the family's marks, else BOS, or nothing where there is none."""
        if any(self.text_marks):
            return list(self.text_marks[0])
        return [] if self.tokenizer.bos_id is None else [self.tokenizer.bos_id]

    def text_prompt(self, text: str) -> list[int]:
        """Ids of a plain text to be continued, or read by the encoder, with the marks around it.

        For a model that fills blanks the names of masks in the text are blanks; without one the blank is its end.
        """
        ids = self._with_blank(text) if self.prompting.blanks is not None else self.tokenizer.encode(text)
        return [*self.document_start, *ids, *self.text_marks[1]]

    def _with_blank(self, text: str) -> list[int]:
        assert self.prompting.blanks is not None
        masks, special_ids = self.prompting.blanks.masks, self.tokenizer.special_ids
        names = [name for name in _MASK_NAMES if special_ids.get(name) in masks]
        ids: list[int] = []
        for part in re.split("(" + "|".join(map(re.escape, names)) + ")", text) if names else [text]:
            ids += [special_ids[part]] if part in names else self.tokenizer.encode(part) if part else []
        return ids if set(ids) & set(masks) else [*ids, masks[0]]

    @property
    def chat_stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an assistant's turn: those of the template and those that end a text."""
        return tuple(sorted({*self.eos_ids, *self.chat_template.stop_ids(self.tokenizer)}))

    @property
    def chat_template(self) -> ChatTemplate:
        """The template; raises StemmaError for a base model."""
        if self.template is None:
            raise StemmaError(
                f"{self.folder}: has no chat template, so it is a base model; continue texts with 'stemma generate'"
            )
        return self.template

    def chat_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a dialogue up to where the assistant's next answer begins."""
        return encode_chat(self.tokenizer, self.chat_template, messages, add_generation_prompt=True).ids


def checkpoint_folder(folder: Path) -> Path:
    """`folder` itself, or its `model` folder when it is a run. Raises StemmaError when neither is a checkpoint."""
    for candidate in (folder, folder / "model"):
        if (candidate / "config.json").is_file():
            return candidate
    what = "holds no config.json" if folder.is_dir() else "is not a folder"
    raise StemmaError(f"{folder}: {what}; give a checkpoint folder or the folder of a finished run")


def load_language_model(folder: Path, dtype: DType = "float32", device: str = "auto") -> LanguageModel:
    """Open a checkpoint folder, or the `model` folder inside a run. `device` auto takes a GPU where there is one.

    Raises StemmaError when the weights or the tokenizer cannot be opened or do not belong together, and when there is
    no such device.
    """
    from stemma.checkpoint import load_model, open_checkpoint
    from stemma.tokenizer.load import load_tokenizer

    folder = checkpoint_folder(folder)
    place = _device(device)
    tokenizer = load_tokenizer(folder)
    checkpoint = open_checkpoint(folder)
    model = load_model(checkpoint, dtype=getattr(torch, dtype), device=place)
    if tokenizer.vocab_size > model.spec.vocab_size:
        raise StemmaError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} ids and the model {model.spec.vocab_size} rows; "
            "put the tokenizer the model was trained with into the folder"
        )
    eos_ids = {*checkpoint.special_ids.eos, *(() if tokenizer.eos_id is None else (tokenizer.eos_id,))}
    return LanguageModel(
        folder,
        model,
        tokenizer,
        _template(tokenizer, checkpoint),
        tuple(sorted(eos_ids)),
        _prompting(checkpoint, tokenizer),
        _text_marks(checkpoint, tokenizer),
    )


def _template(tokenizer: Tokenizer, checkpoint: "Checkpoint") -> ChatTemplate | None:
    """The tokenizer's own template, else the one the family's chat models were trained with, where its tokens exist."""
    if tokenizer.config.chat_template is not None:
        return template_of(tokenizer)
    name = checkpoint.family.chat_template(checkpoint.spec)
    if name is None:
        return None
    template = builtin_template(name, tokenizer.config)
    known = template.stop_tokens and all(token in tokenizer.special_ids for token in template.stop_tokens)
    return template if known else None


def _prompting(checkpoint: "Checkpoint", tokenizer: Tokenizer) -> Prompting:
    ids = checkpoint.special_ids
    start = ids.decoder_start if ids.decoder_start is not None else ids.bos
    if checkpoint.spec.encoder is not None:
        return Prompting(decoder_start=start)
    if not checkpoint.family.fills_blanks:
        return Prompting()
    names = tokenizer.special_ids
    first = ids.bos if ids.bos is not None else _first(names, _START_NAMES)
    masks = ids.masks or tuple(names[name] for name in _MASK_NAMES if name in names)
    if first is None or not masks:
        raise StemmaError(
            f"{checkpoint.folder}: neither config.json nor the tokenizer names the token that begins an answer and the "
            "blank it fills; add bos_token_id and gmask_token_id to config.json"
        )
    return Prompting(blanks=BlankMarks(first, masks))


def _text_marks(checkpoint: "Checkpoint", tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    ids = checkpoint.special_ids
    roles = {"bos": ids.bos, "eos": next(iter(ids.eos), None)}

    def resolved(marks: tuple[str, ...]) -> tuple[int, ...]:
        found = [roles.get(mark) if mark in roles else tokenizer.special_ids.get(mark) for mark in marks]
        lost = [mark for mark, token in zip(marks, found, strict=True) if token is None]
        if lost:
            say(
                f"{checkpoint.folder}: the tokenizer has no {lost[0]}, which this family puts around every text"
            )
        return tuple(token for token in found if token is not None)

    before, after = checkpoint.family.text_marks
    return resolved(before), resolved(after)


def _first(ids: Mapping[str, int], names: Sequence[str]) -> int | None:
    return next((ids[name] for name in names if name in ids), None)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a name may be known and no such device be there
    except (RuntimeError, AssertionError, NotImplementedError):
        raise StemmaError(f"device {name} is not known or not there; use cpu, cuda or auto") from None
    return device
