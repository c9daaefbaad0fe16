"""Rank files, vocab.json with merges, vocab.txt and ChatGLM's models: what is opened, and what is said of broken ones."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stemma.errors import StemmaError
from stemma.tokenizer import StreamDecoder, load_tokenizer
from stemma.tokenizer.fast import BYTE_OF
from stemma.tokenizer.published import RANK_FILES
from stemma.tokenizer.tiktoken_ranks import merged_below, merges, read_ranks, write_ranks

BYTES = {bytes([byte]): byte for byte in range(256)}
QWEN = {"tokenizer_class": "QWenTokenizer"}
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "##ing", "人", "A", "é", "e", "a"]


def _ranks(folder: Path, tokens: dict[bytes, int], config: dict | None = None) -> Path:
    (folder / "x.tiktoken").write_bytes(write_ranks(tokens))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_rank_file_is_cut_merged_and_given_its_special_tokens(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(_ranks(tmp_path, {**BYTES, b"ab": 256, b"abc": 257}, QWEN))
    assert tokenizer.encode("abc 12") == [257, 32, 49, 50]
    assert (tokenizer.num_pieces, tokenizer.vocab_size) == (258, 258 + 208)
    assert tokenizer.id_of("<|extra_204|>") == 258 + 207
    assert tokenizer.eos_id == 258
    assert tokenizer.encode("<|endoftext|>") == list(b"<|endoftext|>")
    assert tokenizer.encode_with_specials("<|im_start|>ab") == [259, 256]
    assert tokenizer.decode([257, 0xE4, 0xBD], skip_special=False) == "abc\ufffd"
    assert tokenizer.decode([258, 256]) == "ab"
    tokenizer.save(tmp_path / "again")
    assert load_tokenizer(tmp_path / "again").fingerprint == tokenizer.fingerprint


def test_windows_line_ends_in_a_rank_file_change_nothing() -> None:
    raw = write_ranks(BYTES)
    assert read_ranks(raw.replace(b"\n", b"\r\n"), "x") == read_ranks(raw, "x") == BYTES


def test_too_long_a_run_of_white_space_is_refused_in_one_sentence(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(_ranks(tmp_path, BYTES, QWEN))
    with pytest.raises(StemmaError, match="too long"):
        tokenizer.encode(" " * 3_000_000)
    assert tokenizer.encode("a") == [97]


def _line(token: bytes, rank: object) -> bytes:
    return base64.b64encode(token) + f" {rank}\n".encode()


WHOLE = write_ranks(BYTES)


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"", "holds no ranks"),
        (b"\x00\x01\x02", ":1: .*not a token in base64"),
        (WHOLE + b"YWI=", ":257: .*not a token"),
        (WHOLE + b"YW!= 256\n", ":257: .*not a token"),
        (WHOLE + b"YWI= -1\n", ":257: .*not a token"),
        (WHOLE + b"YWI= 99999999999999\n", ":257: .*not a token"),
        (WHOLE + _line(b"ab", 255), ":257: rank 255 stands on line 256"),
        (WHOLE + _line(b"a", 256), ":257: token YQ== stands twice"),
        (WHOLE[: WHOLE.index(b"/w==")], "no token for the byte 0xff"),
        (WHOLE + _line(b"ab", 300), "ranks are missing"),
        (WHOLE, "no published vocabulary known here .Qwen with 151643, cl100k with 100256"),
    ],
)
def test_a_broken_rank_file_is_refused_with_its_line(tmp_path: Path, raw: bytes, part: str) -> None:
    (tmp_path / "x.tiktoken").write_bytes(raw)
    with pytest.raises(StemmaError, match=part) as raised:
        load_tokenizer(tmp_path)
    assert "\n" not in str(raised.value)


def test_merges_recovered_from_ranks_make_the_same_tokens() -> None:
    ranks = {**BYTES, b"ab": 256, b"bc": 257, b"abc": 258, b"abcbc": 259}
    assert merges(ranks, "x") == [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"abc", b"bc")]
    assert merged_below(b"abcb", ranks, 300) == [b"abc", b"b"]
    with pytest.raises(StemmaError, match="not made of two tokens"):
        merges({**BYTES, b"xyz": 256}, "x")


def test_the_table_of_rank_files_holds_what_was_published() -> None:
    qwen, cl100k = RANK_FILES
    assert (qwen.num_ranks + len(qwen.specials), len(qwen.specials)) == (151_851, 3 + 205)
    assert cl100k.num_ranks + cl100k.specials["<|endofprompt|>"] == 100_276


def _byte_bpe(
    folder: Path, merges_text: str = "a b\nab c\n", config: dict | None = None, **pieces: int
) -> Path:
    vocabulary = {letter: number for number, letter in enumerate(BYTE_OF)} | {"ab": 256, "abc": 257} | pieces
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text(merges_text)
    config = {"tokenizer_class": "GPT2TokenizerFast"} if config is None else config
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_vocabulary_and_merges_open_by_the_folder_and_by_either_file(tmp_path: Path) -> None:
    folder = _byte_bpe(tmp_path, **{"<|endoftext|>": 258})
    opened = [
        load_tokenizer(folder),
        load_tokenizer(folder / "vocab.json"),
        load_tokenizer(folder / "merges.txt"),
    ]
    assert [tokenizer.encode("abcab") for tokenizer in opened] == [[257, 256]] * 3
    assert len({tokenizer.fingerprint for tokenizer in opened}) == 1
    assert opened[0].special_ids == {"<|endoftext|>": 258}
    opened[0].save(tmp_path / "again")
    assert load_tokenizer(tmp_path / "again").fingerprint == opened[0].fingerprint


def test_a_class_decides_on_normalization_and_frame(tmp_path: Path) -> None:
    qwen = load_tokenizer(_byte_bpe(tmp_path, config={"tokenizer_class": "Qwen2Tokenizer"}))
    assert qwen.decode(qwen.encode("e\u0301 12")) == "\u00e9 12"
    names = {name: 258 + place for place, name in enumerate(("<s>", "<pad>", "</s>", "<unk>", "<mask>"))}
    roberta = load_tokenizer(_byte_bpe(tmp_path, config={"tokenizer_class": "RobertaTokenizer"}, **names))
    assert roberta.frame == ([258], [260])
    assert roberta.decode(roberta.encode("e\u0301 12")) == "e\u0301 12"


def test_qwen2s_vocabulary_follows_from_its_merges(tmp_path: Path) -> None:
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": {
            "258": {"content": "<|im_end|>"},
            "259": {"content": "<x>", "special": False},
        },
    }
    whole = load_tokenizer(_byte_bpe(tmp_path, config=config))
    (tmp_path / "vocab.json").unlink()
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.fingerprint == whole.fingerprint
    assert tokenizer.encode("abc<x>") == [257, 259]
    assert tokenizer.special_ids == {"<|im_end|>": 258}
    config["added_tokens_decoder"] = {"300": {"content": "<|im_end|>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(StemmaError, match=r"make 258 tokens.*begin at 300"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    with pytest.raises(StemmaError, match=r"without vocab\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda folder: (folder / "merges.txt").write_text("a b\nabc\n"), "merges.txt:2: 'abc' is no pair"),
        (
            lambda folder: (folder / "merges.txt").write_text("a b\na z\n"),
            "merges.txt:2: names the piece 'az'",
        ),
        (lambda folder: (folder / "merges.txt").write_text("#version: 0.2\n"), "holds no merges"),
        (lambda folder: (folder / "merges.txt").write_bytes(b"\xff\xff"), "not UTF-8"),
        (lambda folder: (folder / "merges.txt").unlink(), "needs both files"),
        (lambda folder: (folder / "vocab.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "vocab.json").write_text("[]"), "does not map"),
        (lambda folder: (folder / "vocab.json").write_text('{"a": true}'), "does not map"),
        (lambda folder: (folder / "vocab.json").write_text('{"a": 0, "b": 0}'), "one id to two"),
        (lambda folder: (folder / "vocab.json").write_text('{"a": 900000000}'), "ids far beyond"),
        (lambda folder: (folder / "vocab.json").write_text('{"a": 0, "b": 1}'), "no piece for the byte"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "must name a tokenizer_class"),
    ],
)
def test_a_broken_byte_level_bpe_is_refused(
    tmp_path: Path, damage: Callable[[Path], object], part: str
) -> None:
    damage(_byte_bpe(tmp_path))
    with pytest.raises(StemmaError, match=part) as raised:
        load_tokenizer(tmp_path)
    assert "\n" not in str(raised.value)


def _bert(folder: Path, pieces: list[str], config: dict | None = None) -> Path:
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("lower", "ids"), [(True, [5, 6, 11, 10, 7]), (False, [1, 8, 9, 7])])
def test_wordpiece_folds_case_as_its_configuration_says(tmp_path: Path, lower: bool, ids: list[int]) -> None:
    tokenizer = load_tokenizer(_bert(tmp_path, BERT, {"do_lower_case": lower}))
    assert tokenizer.encode("HELLOing A é人") == ids
    assert tokenizer.frame == ([2], [3])
    assert tokenizer.unk_id == 1


def test_wordpiece_decodes_token_by_token_as_at_once(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(_bert(tmp_path, [*BERT, ".", "n't"], {"do_lower_case": True}))
    for ids in ([5, 6, 12], [6, 5], [12, 5], [2, 5, 13, 3], [1, 5]):
        for skip in (True, False):
            decoder = StreamDecoder(tokenizer, skip_special=skip)
            assert "".join(map(decoder.push, ids)) + decoder.finish() == tokenizer.decode(ids, skip)


@pytest.mark.parametrize(
    ("pieces", "config", "part"),
    [
        (BERT, None, "whether it lower-cases is unknown"),
        (BERT, {"do_lower_case": "yes"}, "whether it lower-cases is unknown"),
        ([*BERT, "", "b"], {}, r"vocab.txt:13: an empty piece"),
        ([*BERT, "人"], {}, r"vocab.txt:13: the piece '人' stands on line 8"),
        (BERT[3:], {"do_lower_case": True}, r"no piece \[UNK\]"),
    ],
)
def test_a_broken_vocab_txt_is_refused_with_its_line(
    tmp_path: Path, pieces: list[str], config: dict | None, part: str
) -> None:
    with pytest.raises(StemmaError, match=part):
        load_tokenizer(_bert(tmp_path, pieces, config))


@pytest.fixture(scope="module")
def ice_text(shared: Path) -> Path:
    return shared / "tokenizers" / "chatglm-6b" / "ice_text.model"


def test_chatglm_keeps_white_space_and_names_its_roles(ice_text: Path) -> None:
    tokenizer = load_tokenizer(ice_text)
    text = "def f(x):\n\treturn  1\n\n   # end" + " " * 85 + "x"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("a" + " " * 81 + "b") == tokenizer.encode("a<|blank_80|> b")
    roles = (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id, tokenizer.unk_id)
    assert roles == (130_004, 130_005, 3, 0)
    assert 130_004 not in tokenizer.encode("<sop>")
    assert tokenizer.encode("  x", after="text") == tokenizer.encode("<|blank_2|>x", after="text")


@pytest.mark.parametrize(
    ("files", "shift"),
    [
        ({"config.json": {"vocab_size": 150_528}}, 20_000),
        ({"config.json": {"vocab_size": 130_528}, "tokenizer_config.json": {"num_image_tokens": 0}}, 0),
        ({"tokenizer_config.json": {"num_image_tokens": 20_000}}, 20_000),
    ],
)
def test_chatglms_first_release_counts_after_its_image_tokens(
    ice_text: Path, tmp_path: Path, files: dict[str, dict], shift: int
) -> None:
    shutil.copy(ice_text, tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("你好") == tokenizer.encode_batch(["你好"])[0] == [5 + shift, 74_874 + shift]
    assert tokenizer.frame == ([], [130_001 + shift, 130_004 + shift])
    assert (tokenizer.num_pieces, tokenizer.vocab_size) == (130_344, 130_344 + shift)
    assert tokenizer.decode(tokenizer.encode("a  b\n")) == "a  b\n"
    assert tokenizer.encode_with_specials("hi[gMASK]")[-1] == 130_001 + shift
    tokenizer.save(tmp_path / "again")
    assert load_tokenizer(tmp_path / "again").fingerprint == tokenizer.fingerprint


def test_contradicting_chatglm_files_are_refused(ice_text: Path, tmp_path: Path, shared: Path) -> None:
    shutil.copy(ice_text, tmp_path)
    (tmp_path / "config.json").write_text('{"vocab_size": 150528}')
    (tmp_path / "tokenizer_config.json").write_text('{"num_image_tokens": 0}')
    with pytest.raises(StemmaError, match="do not belong together"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"num_image_tokens": 7}')
    with pytest.raises(StemmaError, match="must be 0 or 20000"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "ice_text.model").unlink()
    shutil.copy(shared / "tokenizers" / "llama" / "tokenizer.model", tmp_path / "ice_text.model")
    with pytest.raises(StemmaError, match="no ChatGLM-6B model"):
        load_tokenizer(tmp_path / "ice_text.model")


@pytest.mark.parametrize(
    ("files", "last"),
    [
        ({}, "eop"),
        ({"config.json": {"_name_or_path": "THUDM/chatglm2-6b"}}, "eop"),
        ({"config.json": {"_name_or_path": "THUDM/chatglm3-6b"}}, "<|observation|>"),
        ({"tokenizer_config.json": {"chat_template": "<|user|>"}}, "<|observation|>"),
    ],
)
def test_chatglm2_and_3_get_the_tokens_of_their_code(
    shared: Path, tmp_path: Path, files: dict[str, dict], last: str
) -> None:
    shutil.copy(shared / "tokenizers" / "chatglm2" / "tokenizer.model", tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.num_pieces == 64_789
    assert tokenizer.vocab_size == {"eop": 64_794, "<|observation|>": 64_798}[last]
    assert tokenizer.id_of(last) == tokenizer.vocab_size - 1
    assert (tokenizer.id_of("[gMASK]"), tokenizer.id_of("sop")) == (64_790, 64_792)
    tokenizer.save(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again")
    assert (again.fingerprint, again.frame) == (tokenizer.fingerprint, tokenizer.frame)


def test_another_class_with_as_many_pieces_is_not_taken_for_chatglm(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / "tokenizers" / "chatglm2" / "tokenizer.model", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "OtherTokenizer"}')
    tokenizer = load_tokenizer(tmp_path)
    assert (tokenizer.vocab_size, tokenizer.frame) == (64_789, ([], []))
