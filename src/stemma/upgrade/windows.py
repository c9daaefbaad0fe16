"""The token windows a certificate is measured on: the user's text, the built-in zh/en text, or random ids.

A text is encoded whole and cut into windows of equal length, each opened by the tokenizer's BOS token when it has one;
the windows taken are spread evenly over the text, so both languages of the built-in text are seen.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from stemma.errors import StemmaError
from stemma.model.spec import Spec
from stemma.tokenizer.load import FORMATS, load_tokenizer
from stemma.tokenizer.tokenizer import Tokenizer

_RANDOM_SEED = 0
_LARGEST_TEXT = 16 << 20


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """Which text was measured on, as the certificate states it; `bytes` are those of the predicted tokens."""

    kind: Literal["built-in zh/en text", "file", "random ids, no tokenizer"]
    sha256: str
    path: str | None = None
    windows: int
    window_length: int
    predicted_tokens: int
    bytes: int | None = None


@dataclass(frozen=True)
class Windows:
    """`token_ids` (N, T) int64 and the facts about them."""

    token_ids: torch.Tensor
    facts: TextFacts


def cut_windows(folder: Path, spec: Spec, text: Path | None, *, num_windows: int, length: int) -> Windows:
    """At most `num_windows` windows of `length` tokens for the checkpoint in `folder`, as many as the text gives.

    Raises StemmaError when the text cannot be read, is shorter than one window, or its tokens do not fit the model.
    """
    if length < 2 or num_windows < 1:
        raise StemmaError("a certificate needs at least one window of two tokens")
    if not has_tokenizer(folder):
        if text is not None:
            raise StemmaError(f"{folder}: holds no tokenizer to read {text} with; leave --text out")
        return _random_windows(spec, num_windows, length)
    tokenizer = load_tokenizer(folder)
    data = _read(text)
    ids = tokenizer.encode(_decoded(data, text))
    if max(ids, default=0) >= spec.vocab_size:
        raise StemmaError(
            f"{folder}: its tokenizer gives id {max(ids)} and the embedding has {spec.vocab_size} rows"
        )
    bos = [tokenizer.bos_id] if tokenizer.bos_id is not None else []
    body = length - len(bos)
    available = len(ids) // body
    if available == 0:
        raise StemmaError(
            f"{text or 'the built-in text'}: gives {len(ids)} tokens and one window takes {body}; "
            "give a longer text with --text"
        )
    taken = min(num_windows, available)
    starts = [i * available // taken * body for i in range(taken)]
    rows = [bos + ids[start : start + body] for start in starts]
    return Windows(torch.tensor(rows), _facts(tokenizer, rows, data, text))


def has_tokenizer(folder: Path) -> bool:
    """Whether the folder holds a file of a known tokenizer format."""
    return any(any(folder.glob(name)) for entry in FORMATS for name in entry.patterns_in_folder)


def _read(text: Path | None) -> bytes:
    if text is None:
        return resources.files("stemma.upgrade").joinpath("sample_zh_en.txt").read_bytes()
    try:
        if text.stat().st_size > _LARGEST_TEXT:
            raise StemmaError(f"{text}: is larger than {_LARGEST_TEXT >> 20} MiB; give a sample of it")
        return text.read_bytes()
    except OSError as error:
        raise StemmaError(f"{text}: cannot be read ({error.strerror}); give a UTF-8 text file") from None


def _decoded(data: bytes, text: Path | None) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StemmaError(f"{text}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None


def _facts(tokenizer: Tokenizer, rows: list[list[int]], data: bytes, text: Path | None) -> TextFacts:
    return TextFacts(
        kind="built-in zh/en text" if text is None else "file",
        sha256=hashlib.sha256(data).hexdigest(),
        path=None if text is None else str(text),
        windows=len(rows),
        window_length=len(rows[0]),
        predicted_tokens=len(rows) * (len(rows[0]) - 1),
        bytes=sum(len(tokenizer.token_bytes(token)) for row in rows for token in row[1:]),
    )


def _random_windows(spec: Spec, num_windows: int, length: int) -> Windows:
    ids = np.random.default_rng(_RANDOM_SEED).integers(0, spec.vocab_size, (num_windows, length))
    return Windows(
        torch.tensor(ids.tolist()),
        TextFacts(
            kind="random ids, no tokenizer",
            sha256=hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest(),
            windows=num_windows,
            window_length=length,
            predicted_tokens=num_windows * (length - 1),
        ),
    )
