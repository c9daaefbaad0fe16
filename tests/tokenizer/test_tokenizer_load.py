"""Opening tokenizers from disk, and what is said of broken ones."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.errors import StemmaError
from stemma.tokenizer import StreamDecoder, load_tokenizer


@pytest.fixture(scope="module")
def llama(shared: Path) -> Path:
    return shared / "tokenizers" / "llama" / "tokenizer.model"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "not JSON"),
        ('{"model": {', "not JSON"),
        ("[1, 2]", "no tokenizer.json"),
        ('{"vocab": 1}', "no tokenizer.json"),
        ('{"model": {"type": "BPE"}}', "no tokenizer the library can read"),
        ('{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}', "vocabulary is empty"),
    ],
)
def test_a_broken_tokenizer_json_is_refused_in_one_sentence(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(StemmaError, match=part) as raised:
        load_tokenizer(tmp_path)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("length", [0, 1, 100, 5_000, 250_000, 499_700])
def test_a_cut_sentencepiece_model_is_refused(tmp_path: Path, llama: Path, length: int) -> None:
    (tmp_path / "tokenizer.model").write_bytes(llama.read_bytes()[:length])
    with pytest.raises(StemmaError, match="no whole SentencePiece model"):
        load_tokenizer(tmp_path)


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="does not exist"):
        load_tokenizer(tmp_path / "nothing")
    with pytest.raises(StemmaError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "x.model").write_bytes(b"\x00" * 64)
    with pytest.raises(StemmaError, match="no whole SentencePiece model"):
        load_tokenizer(tmp_path / "x.model")
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(StemmaError, match="no known tokenizer format"):
        load_tokenizer(tmp_path / "x.bin")
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StemmaError, match="not UTF-8"):
        load_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"eos_token": "<nope>"}, "no token '<nope>'"),
        ({"eos_token": 5}, "eos_token must be"),
        ({"stop_tokens": "x"}, "stop_tokens must be"),
        ({"chat_template": 3}, "chat_template must be"),
        ({"added_tokens_decoder": {"x": {"content": "y"}}}, "must map ids"),
        ([], "no JSON object"),
    ],
)
def test_a_broken_configuration_is_refused(trained, tmp_path: Path, config, part: str) -> None:
    trained.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(StemmaError, match=part):
        load_tokenizer(tmp_path)


def test_configurations_in_the_forms_transformers_writes_are_read(trained, tmp_path: Path) -> None:
    trained.save(tmp_path)
    config = {
        "eos_token": {"content": "<|im_end|>", "special": True},
        "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}],
        "model_max_length": 4096,
        "auto_map": {"AutoTokenizer": ["code.py", None]},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.eos_id == 2
    assert tokenizer.config.chat_template == "D"
    tokenizer.save(tmp_path)
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert written["model_max_length"] == 4096
    assert "auto_map" not in written
    (tmp_path / "chat_template.jinja").write_text("J")
    assert load_tokenizer(tmp_path).config.chat_template == "J"


def test_a_sentencepiece_folder_is_saved_and_read_back(llama: Path, tmp_path: Path) -> None:
    shutil.copy(llama, tmp_path / "tokenizer.model")
    added = {"32000": {"content": "<|user|>"}, "1": {"content": "<s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.vocab_size == 32001
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id, tokenizer.pad_id) == (1, 2, 0, None)
    assert tokenizer.encode_with_specials("<|user|>hi") == [32000, *tokenizer.encode("hi")]
    assert tokenizer.decode([32000, *tokenizer.encode("hi")]) == "hi"
    assert tokenizer.decode([32000], skip_special=False) == "<|user|>"
    assert 32000 not in tokenizer.encode("<|user|>hi")
    tokenizer.save(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again")
    assert again.fingerprint == tokenizer.fingerprint
    assert again.special_ids == tokenizer.special_ids
    added["5"] = {"content": "<wrong>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    with pytest.raises(StemmaError, match="do not belong together"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("family", "name", "number"), [("baichuan", "<reserved_102>", 195), ("baichuan2", "<reserved_106>", 195)]
)
def test_role_tokens_stored_as_user_defined_pieces_cannot_be_typed(
    shared: Path, family: str, name: str, number: int
) -> None:
    tokenizer = load_tokenizer(shared / "tokenizers" / family)
    assert tokenizer.id_of(name) == number
    assert number not in tokenizer.encode(f"a{name}b")
    assert tokenizer.decode(tokenizer.encode(f"a{name}b")) == f"a{name}b"
    assert tokenizer.encode_with_specials(f"a{name}b").count(number) == 1


@pytest.mark.parametrize("file", ["tokenizer.model", "tokenizer.json"])
def test_text_after_text_gets_no_dummy_prefix(llama: Path, file: str) -> None:
    tokenizer = load_tokenizer(llama.parent / file)
    whole = tokenizer.encode("hello world")
    assert tokenizer.encode("hello") + tokenizer.encode(" world", after="text") == whole
    assert tokenizer.encode("hello", after="special") == tokenizer.encode("hello")
    assert tokenizer.encode("hello", after="text") != tokenizer.encode("hello")


def test_a_unigram_model_cannot_spell_a_special_token(shared: Path) -> None:
    tokenizer = load_tokenizer(shared / "tokenizers" / "t5" / "tokenizer.json")
    hidden = set(tokenizer.special_ids.values()) - {tokenizer.unk_id}
    for text in ("end.</s>start", "a <extra_id_0> b", "＜/s＞ <pad>"):
        assert not set(tokenizer.encode(text)) & hidden
        assert tokenizer.encode_batch([text, "x"]) == [tokenizer.encode(text), tokenizer.encode("x")]


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.integers(0, 31_999) | st.integers(0, 260), max_size=20), skip=st.booleans())
def test_sentencepiece_streams_as_it_decodes(llama: Path, ids: list[int], skip: bool) -> None:
    import sentencepiece

    tokenizer = _cached(llama)
    decoder = StreamDecoder(tokenizer, skip_special=skip)
    text = "".join(map(decoder.push, ids)) + decoder.finish()
    assert text == tokenizer.decode(ids, skip)
    if skip:
        library = sentencepiece.SentencePieceProcessor(model_file=str(llama))
        assert text == library.decode(ids)


_opened: dict[Path, object] = {}


def _cached(path: Path):
    return _opened.setdefault(path, _opened.get(path) or load_tokenizer(path))
