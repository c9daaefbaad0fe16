"""Tokenizing in parts: the same ids for any number of workers and any size of part, and cuts at lines that are exact."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stemma.data import causal
from stemma.data.lines import EXPRESSIONS, exact_at_lines, pieces
from stemma.data.mixture import Mixture
from stemma.data.shards import Documents, Item, write_shards
from stemma.data.tokenize import encode_texts, tokenize_parts
from stemma.errors import StemmaError
from stemma.tokenizer.fast import FastTokenizer
from stemma.tokenizer.load import load_tokenizer
from stemma.tokenizer.tokenizer import Tokenizer
from stemma.tokenizer.train import TrainSettings, train_tokenizer

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "tokenizers"
EXACT = ("gpt2", "llama", "llama/tokenizer.json", "qwen")
NOT_KNOWN = ("t5", "bert-base-chinese")
SAMPLE = (
    "Hello world.\n\nIt's 2024; the 河水清且涟猗。\n  indented()\n\n\n不稼不穑, x = {\n\t1,\n}\r\nend\n" * 40
)
LINES = st.text(
    st.sampled_from(
        "ab Z'st19 \t\r\u3000\x85\u2028\u00a0\u1680\u200b.,;()<|>_\u0301\u00e9\u212a河水。，😀\u202f"
    ),
    max_size=5,
)
TEXTS = st.lists(LINES, max_size=12).map("\n".join)


@pytest.fixture(scope="module")
def trained() -> FastTokenizer:
    return train_tokenizer([SAMPLE], TrainSettings(vocab_size=420, chat_template=None, max_run=4))


def with_cuts(tokenizer: FastTokenizer, expression: str | None) -> FastTokenizer:
    """The same vocabulary behind another expression; None is GPT-2's."""
    data = json.loads(tokenizer._text)
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": expression is None,
    }
    split = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    both = {"type": "Sequence", "pretokenizers": [split, level]}
    data["pre_tokenizer"] = level if expression is None else both
    data["normalizer"] = {"type": "NFC"}
    return FastTokenizer(json.dumps(data), tokenizer.config, "edited")


def corpus(folder: Path, number: int = 120) -> Path:
    """Four files in a folder, which are at least as many parts when parts are small."""
    (folder / "corpus").mkdir()
    for rows in np.array_split(np.arange(number), 4):
        records = (
            {"id": str(i), "text": SAMPLE[i : i + 500 + 7 * i], "source": f"s{i % 3}"} for i in rows.tolist()
        )
        path = folder / "corpus" / f"{rows[0]:03}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder / "corpus"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def stream(paths: list[Path], tokenizer: Tokenizer, part_bytes: int) -> tuple[list, list, list]:
    parts = list(tokenize_parts(paths, tokenizer, 1, part_bytes))
    ids = np.concatenate([part.documents.token_ids for part in parts])
    lengths = np.concatenate([part.documents.lengths for part in parts])
    return ids.tolist(), lengths.tolist(), [name for part in parts for name in part.facts.ids]


def test_one_and_two_workers_write_the_same_bytes(
    tmp_path: Path, trained: FastTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = corpus(tmp_path)
    monkeypatch.setattr(causal, "tokenize_parts", partial(tokenize_parts, part_bytes=5_000))
    mixture = Mixture(source={"s0": 0.6}, seed=3)
    for name, num_workers in (("one", 1), ("two", 2)):
        causal.tokenize_documents(
            tmp_path / name, [path], trained, mixture, num_tokens=50_000, num_workers=num_workers
        )
    assert len(list(tokenize_parts([path], trained, 1, 5_000))) > 3
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert files(tmp_path / "one")["tokens-00000.bin"]


def test_the_ids_are_those_of_each_document_alone_whatever_the_parts(
    tmp_path: Path, trained: FastTokenizer
) -> None:
    path = corpus(tmp_path)
    texts = [SAMPLE[i : i + 500 + 7 * i] for i in range(120)]
    wanted = [token for text in texts for token in (*trained.encode(text), trained.eos_id)]
    for part_bytes in (1, 5_000, 1 << 20):
        ids, lengths, names = stream([path], trained, part_bytes)
        assert ids == wanted
        assert lengths == [len(trained.encode(text)) + 1 for text in texts]
        assert names == [str(i) for i in range(120)]


def test_an_unusable_record_and_a_wrong_number_of_workers_are_named(
    tmp_path: Path, trained: FastTokenizer
) -> None:
    path = corpus(tmp_path, 4)
    (path / "003.jsonl").write_text('{"text": "a"}\n{"id": "x"}\n')
    with pytest.raises(StemmaError, match=r"003\.jsonl, line 2: has no field 'text'"):
        causal.tokenize_documents(tmp_path / "t", [path], trained, num_workers=1)
    with pytest.raises(StemmaError, match="there are 0 workers"):
        causal.tokenize_documents(tmp_path / "t", [path], trained, num_workers=0)
    assert not (tmp_path / "t").exists()


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    shard_tokens=st.integers(1, 30),
    block=st.integers(1, 8),
)
@settings(max_examples=20, deadline=None)
def test_documents_in_blocks_are_written_like_documents_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], shard_tokens: int, block: int
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    ids = [np.arange(length, dtype=np.int32) for length in lengths]
    ones = [Item(token_ids=one.tolist(), num_bytes=len(one) * 3) for one in ids]
    blocks = [
        Documents(
            token_ids=np.concatenate(ids[i : i + block]),
            lengths=np.array(lengths[i : i + block]),
            num_bytes=np.array(lengths[i : i + block]) * 3,
        )
        for i in range(0, len(ids), block)
    ]
    for name, items in (("ones", ones), ("blocks", blocks)):
        write_shards(folder / name, items, key="k", vocab_size=10, shard_tokens=shard_tokens)
    assert files(folder / "ones") == files(folder / "blocks")


# Cutting at lines


def glued(tokenizer: Tokenizer, text: str, length: int) -> list[int]:
    first, *others = pieces(tokenizer, text, length)
    return sum((tokenizer.encode(piece, after="text") for piece in others), tokenizer.encode(first))


def check(tokenizer: Tokenizer) -> None:
    """The law, on texts full of line ends; and that texts are cut at all."""
    assert exact_at_lines(tokenizer)
    cuts = 0

    @given(text=TEXTS, length=st.integers(1, 12))
    @example(text="a\n\nb\nc", length=1)
    @example(text="a。\n b\n\n  \nc\n\u3000d\ne'\nll", length=1)
    @settings(max_examples=150, deadline=None)
    def law(text: str, length: int) -> None:
        nonlocal cuts
        found = pieces(tokenizer, text, length)
        cuts += len(found) - 1
        assert "".join(found) == text
        assert glued(tokenizer, text, length) == tokenizer.encode(text)

    law()
    assert cuts > 20
    assert glued(tokenizer, SAMPLE, 10) == tokenizer.encode(SAMPLE)


def test_our_own_tokenizer_is_exact_at_lines(trained: FastTokenizer) -> None:
    check(trained)
    assert len(pieces(trained, SAMPLE * 40)) > 1  # as long as what is cut in earnest
    assert encode_texts(trained, [SAMPLE * 40, "a"]) == [trained.encode(SAMPLE * 40), trained.encode("a")]


@pytest.mark.parametrize("expression", [None, *sorted(EXPRESSIONS)])
def test_every_known_expression_is_exact_at_lines(trained: FastTokenizer, expression: str | None) -> None:
    check(with_cuts(trained, expression))


def test_a_cut_between_two_line_ends_would_not_be_exact(trained: FastTokenizer) -> None:
    gpt2 = with_cuts(trained, None)
    assert gpt2.encode("a\n") + gpt2.encode("\nb") != gpt2.encode("a\n\nb") or gpt2.encode(
        "a\n\n"
    ) + gpt2.encode("b") != gpt2.encode("a\n\nb")
    assert pieces(gpt2, "a\n\nb", 1) == ["a\n\nb"]


def test_an_unknown_expression_is_never_cut(trained: FastTokenizer) -> None:
    strange = with_cuts(trained, r"\p{L}+\n\p{L}+|\p{L}+|\s+|[^\s\p{L}]+")
    assert not exact_at_lines(strange)
    assert pieces(strange, SAMPLE, 10) == [SAMPLE]


def test_a_text_with_the_name_of_a_special_token_is_never_cut(trained: FastTokenizer) -> None:
    text = SAMPLE + "<|endoftext|>" + SAMPLE
    assert pieces(trained, text, 10) == [text]


@pytest.mark.parametrize("name", EXACT)
def test_published_tokenizers_are_exact_at_lines(name: str) -> None:
    if not (PUBLISHED / name).exists():
        pytest.skip("the published tokenizers are not here")
    check(load_tokenizer(PUBLISHED / name))


@pytest.mark.parametrize("name", NOT_KNOWN)
def test_tokenizers_that_may_look_across_lines_are_left_whole(name: str) -> None:
    if not (PUBLISHED / name).exists():
        pytest.skip("the published tokenizers are not here")
    assert not exact_at_lines(load_tokenizer(PUBLISHED / name))
