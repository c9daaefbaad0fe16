"""Vocabularies inside GGUF files: exact where opened, one sentence where the file is hostile or says too little."""

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.errors import StemmaError
from stemma.tokenizer import load_tokenizer
from stemma.tokenizer.fast import BYTE_OF
from stemma.tokenizer.gguf_metadata import read_metadata
from stemma.tokenizer.verify import Vector, check, read_vectors

NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if not value or isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
    kind, letter = (6, "f") if isinstance(value[0], float) else (5, "i")
    return struct.pack(f"<IIQ{len(value)}{letter}", 9, kind, len(value), *value)


def _gguf(keys: dict[str, Any], *, version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, 0, len(keys))
    return head + b"".join(_string(key) + _value(value) for key, value in keys.items())


def _open(folder: Path, keys: dict[str, Any]):
    (folder / "vocab.gguf").write_bytes(_gguf(keys))
    return load_tokenizer(folder)


def _keys(kind: str, tokens: list[str], types: list[int], **more: Any) -> dict[str, Any]:
    keys = {"model": kind, "tokens": tokens, "token_type": types} | more
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items()}


SPM_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁a", "▁", "a", "b", "ab"]
SPM_TYPES = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * 5]
SPM_SCORES = [0.0] * 259 + [-2.0, -3.0, -4.0, -5.0, -1.0]
SPM = _keys("llama", SPM_TOKENS, SPM_TYPES, scores=SPM_SCORES, bos_token_id=1, eos_token_id=2)


def test_a_sentencepiece_vocabulary_merges_by_its_scores(tmp_path: Path) -> None:
    tokenizer = _open(tmp_path, SPM)
    assert tokenizer.encode("ab a") == [260, 263, 259]
    assert tokenizer.encode("é") == [260, 3 + 0xC3, 3 + 0xA9]
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.num_pieces) == (1, 2, 264)
    assert tokenizer.decode(tokenizer.encode("ab é")) == "ab é"
    bare = _open(tmp_path, SPM | {"tokenizer.ggml.add_space_prefix": False})
    assert bare.encode("ab") == [263]


def test_the_published_gguf_is_the_published_model(shared: Path) -> None:
    folder = shared / "tokenizers" / "llama"
    gguf, model = (load_tokenizer(folder / name) for name in ("ggml-vocab-llama-spm.gguf", "tokenizer.model"))
    assert gguf.special_ids == model.special_ids
    assert [gguf.token_bytes(token) for token in range(32_000)] == [
        model.token_bytes(token) for token in range(32_000)
    ]


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, list[Vector]]:
    return read_vectors(shared / "tokenizers" / "vectors.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize(("family", "pre"), [("gpt2", "gpt-2"), ("qwen2", "qwen2")])
def test_a_byte_level_vocabulary_gives_its_familys_ids(
    family: str, pre: str, shared: Path, tmp_path: Path, vectors: dict[str, list[Vector]]
) -> None:
    source = json.loads(load_tokenizer(shared / "tokenizers" / family)._text)  # pyright: ignore[reportAttributeAccessIssue]
    ids = dict(source["model"]["vocab"])
    added = {token["id"]: token for token in source["added_tokens"]}
    ids |= {token["content"]: number for number, token in added.items()}
    tokens = sorted(ids, key=ids.__getitem__)
    types = [
        {None: 1, True: 3, False: 4}[added[n]["special"] if n in added else None] for n in range(len(tokens))
    ]
    merges = [" ".join(pair) for pair in source["model"]["merges"]]
    tokenizer = _open(tmp_path, _keys("gpt2", tokens, types, merges=merges, pre=pre))
    assert check(family, "vocab.gguf", tokenizer, vectors[family]).wrong_lines == []


def test_a_wordpiece_vocabulary_gives_its_familys_ids(
    shared: Path, tmp_path: Path, vectors: dict[str, list[Vector]]
) -> None:
    lines = (
        (shared / "tokenizers" / "bert-base-uncased" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    )
    pieces = [line for line in lines if line]
    special = [piece[0] == "[" and piece[-1] == "]" and len(piece) > 2 for piece in pieces]
    tokens = [
        piece if fixed else piece[2:] if piece.startswith("##") and len(piece) > 2 else "\u2581" + piece
        for piece, fixed in zip(pieces, special, strict=True)
    ]
    types = [CONTROL if fixed else NORMAL for fixed in special]
    tokenizer = _open(tmp_path, _keys("bert", tokens, types))
    assert check("bert-base-uncased", "vocab.gguf", tokenizer, vectors["bert-base-uncased"]).wrong_lines == []


LETTERS = list(BYTE_OF)
BPE = _keys("gpt2", [*LETTERS, "ab"], [NORMAL] * 257, merges=["a b"], pre="gpt-2")


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({}, "holds no tokenizer.ggml.tokens"),
        (SPM | {"tokenizer.ggml.model": "rwkv"}, "kind 'rwkv' is not known"),
        (SPM | {"tokenizer.ggml.model": 5}, "is no string"),
        (SPM | {"tokenizer.ggml.scores": [0.0]}, "does not give each token a score"),
        (SPM | {"tokenizer.ggml.scores": ["x"]}, "no list of the right kind"),
        (SPM | {"tokenizer.ggml.token_type": [1, 2]}, "does not give each token a type"),
        (SPM | {"tokenizer.ggml.token_type": [9] * 264}, "does not give each token a type"),
        (SPM | {"tokenizer.ggml.token_type": [1] * 264}, "0 unknown tokens"),
        (SPM | {"tokenizer.ggml.tokens": ["a", *SPM_TOKENS[1:]]}, "names one token twice"),
        (SPM | {"tokenizer.ggml.bos_token_id": 999}, "no id of its 264 tokens"),
        (BPE | {"tokenizer.ggml.pre": "mystery"}, "how it cuts a text is not known"),
        (BPE | {"tokenizer.ggml.merges": ["a z"]}, "names a piece that is no token"),
        (BPE | {"tokenizer.ggml.merges": ["ab"]}, "names a piece that is no token"),
        (_keys("bert", ["[UNK]", "[CLS]", "[SEP]", "▁Word"], [3, 3, 3, 1]), "cased WordPiece"),
        (_keys("bert", ["[UNK]", "▁word"], [3, 1]), r"no piece \[CLS\]"),
    ],
)
def test_a_vocabulary_that_makes_no_sense_is_refused(tmp_path: Path, keys: dict[str, Any], part: str) -> None:
    with pytest.raises(StemmaError, match=part) as raised:
        _open(tmp_path, keys)
    assert "\n" not in str(raised.value)


def _huge(count: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _string("k") + struct.pack("<IIQ", 9, 8, count)


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"", "0 bytes are no GGUF"),
        (b"PK\x03\x04" * 10, "does not begin with GGUF"),
        (_gguf({}, version=1) + bytes(8), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "1152921504606846976 keys"),
        (_huge(2**62), "an array of 4611686018427387904 items"),
        (_huge(100), "an array of 100 items where 0 bytes"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**50),
            "a string of 1125899906842624 bytes",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _string("k") + struct.pack("<I", 77), "type 77"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _string("k") + struct.pack("<IIQ", 9, 9, 1),
            "type 9|1 items",
        ),
        (
            _gguf({"a": 1}).replace(
                b"\x01\x00\x00\x00\x00\x00\x00\x00a", b"\x01\x00\x00\x00\x00\x00\x00\x00\xff"
            ),
            "utf-8",
        ),
        (_gguf(SPM)[:-3], "cut short"),
        (_gguf(SPM)[:3000], "cut short|an array"),
    ],
)
def test_a_hostile_or_cut_file_is_refused_in_one_sentence(tmp_path: Path, raw: bytes, part: str) -> None:
    (tmp_path / "x.gguf").write_bytes(raw)
    with pytest.raises(StemmaError, match=part) as raised:
        load_tokenizer(tmp_path / "x.gguf")
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 6000), byte=st.integers(0, 255))
def test_one_wrong_byte_never_ends_in_a_traceback(tmp_path_factory, at: int, byte: int) -> None:
    raw = bytearray(_gguf(SPM))
    raw[at % len(raw)] = byte
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    path.write_bytes(bytes(raw))
    with contextlib.suppress(StemmaError):
        load_tokenizer(path)


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    keys = {"s": "é", "b": True, "n": 7, "strings": ["a", ""], "floats": [0.5, -1.0], "ints": [1, -2]}
    (tmp_path / "x.gguf").write_bytes(_gguf(keys))
    assert read_metadata(tmp_path / "x.gguf") == keys
