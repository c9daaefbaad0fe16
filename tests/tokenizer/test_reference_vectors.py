"""Ids and texts of published tokenizers, equal to what their own libraries gave."""

import base64
import json
from collections import defaultdict
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders as library_decoders
from tokenizers import models, normalizers, pre_tokenizers

from stemma.tokenizer import StreamDecoder, Tokenizer, load_tokenizer
from stemma.tokenizer.fast import BYTE_OF

SENTENCEPIECE = [
    "llama",
    "baichuan",
    "baichuan2",
    "yi",
    "chinese-llama",
    "chinese-llama-2",
    "mistral",
    "chatglm2",
    "internlm",
    "internlm2",
]
JSON = ["llama-hf", "falcon", "deepseek-llm", "roberta"]
FILES = {family: f"{family}/tokenizer.model" for family in SENTENCEPIECE} | {
    "llama-hf": "llama/tokenizer.json",
    "falcon": "falcon/tokenizer.json",
    "deepseek-llm": "deepseek-llm/tokenizer.json",
    "roberta": "roberta-bart/tokenizer.json",
}
QWEN_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LETTER_OF = {byte: letter for letter, byte in BYTE_OF.items()}


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, list[dict]]:
    found = defaultdict(list)
    with (shared / "tokenizers" / "vectors.jsonl").open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            found[record["family"]].append(record)
    return found


def _merges(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [
        (left, right)
        for left, right in (line.split(" ") for line in lines if " " in line and line[:8] != "#version")
    ]


def _gpt2(shared: Path) -> tokenizers.Tokenizer:
    folder = shared / "tokenizers" / "gpt2"
    vocab = json.loads((folder / "encoder.json").read_text())
    library = tokenizers.Tokenizer(models.BPE(vocab, _merges(folder / "vocab.bpe")))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = library_decoders.ByteLevel()
    library.add_special_tokens(["<|endoftext|>"])
    return library


def _qwen2(shared: Path) -> tokenizers.Tokenizer:
    folder = shared / "tokenizers"
    rows = [line.split() for line in (folder / "qwen" / "qwen.tiktoken").read_text().splitlines() if line]
    vocab = {"".join(LETTER_OF[byte] for byte in base64.b64decode(token)): int(rank) for token, rank in rows}
    library = tokenizers.Tokenizer(models.BPE(vocab, _merges(folder / "qwen2" / "merges.txt")))
    library.normalizer = normalizers.NFC()
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = library_decoders.ByteLevel()
    added = json.loads((folder / "qwen2" / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    for _, entry in sorted(added.items(), key=lambda item: int(item[0])):
        library.add_tokens([tokenizers.AddedToken(**entry)])
    return library


def _check(tokenizer: Tokenizer, records: list[dict]) -> None:
    wrong = []
    names = list(tokenizer.special_ids)
    for record in records:
        text, ids = record["text"], record["ids"]
        if record.get("kind") == "decode_prefixes":
            pushed = [tokenizer.decode(ids[: k + 1], skip_special=False) for k in range(len(ids))]
            ok = pushed == record["decoded_prefixes"]
        else:
            by_library = record["lib"] == "tokenizers"
            found = tokenizer.encode_with_specials(text) if by_library else tokenizer.encode(text)
            ok = found == ids and tokenizer.encode_batch([text]) == [tokenizer.encode(text)]
            if not any(name in text for name in names):
                ok = ok and tokenizer.encode(text) == ids
            if "decoded" in record:
                ok = ok and tokenizer.decode(ids, skip_special=False) == record["decoded"]
                decoder = StreamDecoder(tokenizer, skip_special=False)
                ok = ok and "".join(map(decoder.push, ids)) + decoder.finish() == record["decoded"]
        unk = {tokenizer.unk_id}
        ok = ok and not (set(tokenizer.special_ids.values()) - unk) & set(tokenizer.encode(text))
        if not ok:
            wrong.append(record["case"])
    assert not wrong, f"{len(wrong)} of {len(records)}: {wrong[:10]}"


@pytest.mark.slow
@pytest.mark.parametrize("family", [*SENTENCEPIECE, *JSON])
def test_ids_and_texts_equal_the_recorded_ones(
    family: str, shared: Path, vectors: dict[str, list[dict]]
) -> None:
    assert len(vectors[family]) >= 171
    _check(load_tokenizer(shared / "tokenizers" / FILES[family]), vectors[family])


@pytest.mark.slow
@pytest.mark.parametrize(("family", "build"), [("gpt2", _gpt2), ("qwen2", _qwen2)])
def test_ids_of_byte_level_families_equal_the_recorded_ones(
    family: str, build, shared: Path, vectors: dict[str, list[dict]], tmp_path: Path
) -> None:
    build(shared).save(str(tmp_path / "tokenizer.json"))
    _check(load_tokenizer(tmp_path), vectors[family])
