"""Check tokenizers against recorded vectors: ids and texts that the families' own libraries gave.

A vector file has one JSON object a line: family, text, ids; where recorded also decoded (the text of the ids),
ids_with_special (with what the published tokenizer puts around a text) and, for kind "decode_prefixes",
decoded_prefixes (the text of the first 1, 2, ... ids). LAYOUT says by which file of the folder each family opens.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemma.config import suggest
from stemma.errors import StemmaError
from stemma.tokenizer.config_file import read_config
from stemma.tokenizer.load import load_tokenizer
from stemma.tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from stemma.tokenizer.tokenizer import StreamDecoder, Tokenizer


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file or folder by which a family's tokenizer opens, relative to the root."""

    path: str
    open: Callable[[Path], Tokenizer] = load_tokenizer


def _bare(path: Path) -> Tokenizer:
    """The model without what its family's code does to a text first."""
    return SentencePieceTokenizer.read(path, read_config(path.parent))


LAYOUT: dict[str, tuple[Source, ...]] = {
    family: tuple(Source(path=path) for path in paths)
    for family, paths in {
        "llama": ("llama/tokenizer.model", "llama/ggml-vocab-llama-spm.gguf"),
        "llama-hf": ("llama/tokenizer.json",),
        "chinese-llama": ("chinese-llama/tokenizer.model",),
        "chinese-llama-2": ("chinese-llama-2/tokenizer.model",),
        "chinese-sp20k": ("chinese-llama/chinese_sp.model",),
        "chatglm-6b+pre": ("chatglm-6b",),
        "chatglm2": ("chatglm2/tokenizer.model",),
        "baichuan": ("baichuan/tokenizer.model",),
        "baichuan2": ("baichuan2/tokenizer.model",),
        "yi": ("yi/tokenizer.model",),
        "internlm": ("internlm/tokenizer.model",),
        "internlm2": ("internlm2/tokenizer.model",),
        "mistral": ("mistral/tokenizer.model",),
        "qwen": ("qwen/qwen.tiktoken",),
        "cl100k": ("cl100k/cl100k_base.tiktoken",),
        "qwen2": ("qwen2",),
        "gpt2": ("gpt2",),
        "falcon": ("falcon/tokenizer.json",),
        "t5": ("t5/tokenizer.json",),
        "roberta": ("roberta-bart/tokenizer.json",),
        "bert-base-chinese": ("bert-base-chinese/vocab.txt", "bert-base-chinese/tokenizer.json"),
        "bert-base-uncased": ("bert-base-uncased/vocab.txt", "bert-base-uncased/tokenizer.json"),
        "deepseek-llm": ("deepseek-llm/tokenizer.json",),
    }.items()
} | {"chatglm-6b": (Source(path="chatglm-6b/ice_text.model", open=_bare),)}
"""the first source of a family must be there; the others are checked too where they are"""

_KINDS = (None, "decode_prefixes")
CHECKS = ("ids", "decoded", "prefixes", "with_special")


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One line of a vector file."""

    line: int
    text: str
    ids: tuple[int, ...]
    case: str = ""
    decoded: str | None = None
    prefixes: tuple[str, ...] | None = None
    with_special: tuple[int, ...] | None = None


@dataclass(kw_only=True)
class Outcome:
    """What the check of one source of a family found."""

    family: str
    path: str
    format: str
    num_pieces: int
    vocab_size: int
    lines: int = 0
    wrong: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHECKS, 0))
    """wrong lines by what was wrong on them"""
    wrong_lines: list[int] = field(default_factory=list)
    """numbers of the lines of the vector file on which anything was wrong"""


def read_vectors(path: Path) -> dict[str, list[Vector]]:
    """Vectors by family, in file order. Raises StemmaError naming the line that is malformed or of an unknown family."""
    families: dict[str, list[Vector]] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(_lines(file, path), 1):
            if not line.strip():
                continue
            record = _record(line, f"{path}:{number}")
            family = record.get("family")
            if not isinstance(family, str) or family not in LAYOUT:
                hint = suggest(family, list(LAYOUT)) if isinstance(family, str) else ""
                raise StemmaError(f"{path}:{number}: the family {family!r} is not known{hint}")
            families.setdefault(family, []).append(_vector(record, number, f"{path}:{number}"))
    if not families:
        raise StemmaError(f"{path}: holds no vectors; give a file with one JSON object a line")
    return families


def verify(root: Path, families: Mapping[str, Iterable[Vector]]) -> Iterator[Outcome]:
    """Check the sources of each family under `root`. Raises StemmaError when a family's file is missing or damaged."""
    if not root.is_dir():
        raise StemmaError(f"{root}: is no folder; give the one that holds a folder for each family")
    for family in families:
        if not (root / LAYOUT[family][0].path).exists():
            raise StemmaError(
                f"{root / LAYOUT[family][0].path}: does not exist, so family {family!r} cannot be checked"
            )
    for family, vectors in families.items():
        for source in LAYOUT[family]:
            if (root / source.path).exists():
                yield check(family, source.path, source.open(root / source.path), vectors)


def check(family: str, path: str, tokenizer: Tokenizer, vectors: Iterable[Vector]) -> Outcome:
    """Compare one tokenizer with a family's vectors."""
    outcome = Outcome(
        family=family,
        path=path,
        format=tokenizer.format,
        num_pieces=tokenizer.num_pieces,
        vocab_size=tokenizer.vocab_size,
    )
    for vector in vectors:
        outcome.lines += 1
        wrong = [name for name, right in _compare(tokenizer, vector) if not right]
        for name in wrong:
            outcome.wrong[name] += 1
        if wrong:
            outcome.wrong_lines.append(vector.line)
    return outcome


def _compare(tokenizer: Tokenizer, vector: Vector) -> Iterator[tuple[str, bool]]:
    """(check, whether it holds) for what the line records."""
    ids = list(vector.ids)
    yield "ids", _encodes(tokenizer, vector.text, ids)
    if vector.decoded is not None:
        yield "decoded", _decoded(tokenizer, ids) == {vector.decoded}
    if vector.prefixes is not None:
        found = tuple(tokenizer.decode(ids[:length], skip_special=False) for length in range(1, len(ids) + 1))
        yield "prefixes", found == vector.prefixes
    if vector.with_special is not None:
        before, after = tokenizer.frame
        yield (
            "with_special",
            [*before, *tokenizer.encode_as_published(vector.text), *after] == list(vector.with_special),
        )


def _encodes(tokenizer: Tokenizer, text: str, ids: list[int]) -> bool:
    """By the published reading; and text as data gives the same, alone and in a batch, unless it names a special token."""
    if tokenizer.encode_as_published(text) != ids:
        return False
    data = tokenizer.encode(text)
    named = any(name in text for name in tokenizer.special_ids)
    return tokenizer.encode_batch([text]) == [data] and (data == ids or named)


def _decoded(tokenizer: Tokenizer, ids: list[int]) -> set[str]:
    """The text of `ids`, at once and token by token."""
    decoder = StreamDecoder(tokenizer, skip_special=False)
    streamed = "".join(map(decoder.push, ids)) + decoder.finish()
    return {tokenizer.decode(ids, skip_special=False), streamed}


def _lines(file: Iterable[str], path: Path) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError:
        raise StemmaError(f"{path}: not UTF-8 text; give a file with one JSON object a line") from None


def _record(line: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StemmaError(f"{place}: not JSON ({error})") from None
    if not isinstance(record, dict):
        raise StemmaError(f"{place}: holds no JSON object")
    return record


def _vector(record: dict[str, Any], number: int, place: str) -> Vector:
    kind = record.get("kind")
    if kind not in _KINDS:
        raise StemmaError(f"{place}: kind {kind!r} is not known; known is 'decode_prefixes'")
    prefixes = _strings(record, "decoded_prefixes", place) if kind else None
    ids = _ids(record, "ids", place)
    if prefixes is not None and len(prefixes) != len(ids):
        raise StemmaError(f"{place}: {len(prefixes)} decoded_prefixes for {len(ids)} ids")
    return Vector(
        line=number,
        text=_string(record, "text", place),
        ids=ids,
        case=str(record.get("case", "")),
        decoded=_string(record, "decoded", place) if "decoded" in record else None,
        prefixes=prefixes,
        with_special=_ids(record, "ids_with_special", place) if "ids_with_special" in record else None,
    )


def _string(record: dict[str, Any], key: str, place: str) -> str:
    if not isinstance(record.get(key), str):
        raise StemmaError(f"{place}: {key} must be a string")
    return record[key]


def _strings(record: dict[str, Any], key: str, place: str) -> tuple[str, ...]:
    value = record.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise StemmaError(f"{place}: {key} must be a list of strings")
    return tuple(value)


def _ids(record: dict[str, Any], key: str, place: str) -> tuple[int, ...]:
    value = record.get(key)
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in value):
        raise StemmaError(f"{place}: {key} must be a list of token ids")
    return tuple(value)
