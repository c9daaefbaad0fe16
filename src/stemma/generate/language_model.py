"""A checkpoint folder ready to speak: weights, tokenizer and, where there is one, the chat template."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from stemma.errors import StemmaError
from stemma.model.transformer import Transformer
from stemma.tokenizer.template import ChatTemplate, Message, encode_chat, template_of
from stemma.tokenizer.tokenizer import Tokenizer

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

    @property
    def document_start(self) -> list[int]:
        """What every training document begins with: BOS, or nothing where the tokenizer has none."""
        return [] if self.tokenizer.bos_id is None else [self.tokenizer.bos_id]

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
    template = None if tokenizer.config.chat_template is None else template_of(tokenizer)
    eos_ids = {*checkpoint.special_ids.eos, *(() if tokenizer.eos_id is None else (tokenizer.eos_id,))}
    return LanguageModel(folder, model, tokenizer, template, tuple(sorted(eos_ids)))


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a name may be known and no such device be there
    except (RuntimeError, AssertionError, NotImplementedError):
        raise StemmaError(f"device {name} is not known or not there; use cpu, cuda or auto") from None
    return device
