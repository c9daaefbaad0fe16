"""Every published family opens from its native file and gives the recorded ids and texts; the check itself can fail."""

import json
from pathlib import Path

import pytest

from stemma.cli import main
from stemma.errors import StemmaError
from stemma.tokenizer import load_tokenizer
from stemma.tokenizer.verify import LAYOUT, Vector, check, read_vectors, verify

LLAMA_CPP = {
    "llama-spm": "llama/ggml-vocab-llama-spm.gguf",
    "phi-3": "llama/tokenizer.model",
    "bert-bge": "bert-base-uncased/vocab.txt",
    "deepseek-llm": "deepseek-llm",
    "falcon": "falcon",
    "gpt-2": "gpt2",
    "qwen2": "qwen2",
    "roberta-bpe": "roberta-bart",
}


@pytest.fixture(scope="module")
def families(shared: Path) -> dict[str, list[Vector]]:
    return read_vectors(shared / "tokenizers" / "vectors.jsonl")


@pytest.mark.slow
def test_all_vectors_of_all_families_are_right(shared: Path, families: dict[str, list[Vector]]) -> None:
    root = shared / "tokenizers"
    outcomes = list(verify(root, families))
    first = {outcome.family: outcome for outcome in reversed(outcomes)}
    assert set(first) == set(LAYOUT) == set(families)
    assert {(outcome.family, outcome.path): outcome.wrong_lines for outcome in outcomes} == {
        (family, source.path): [] for family, sources in LAYOUT.items() for source in sources
    }
    with (root / "vectors.jsonl").open(encoding="utf-8") as file:
        assert sum(outcome.lines for outcome in first.values()) == sum(1 for _ in file)


@pytest.mark.slow
@pytest.mark.parametrize("family", list(LAYOUT))
def test_no_text_becomes_a_special_token(
    family: str, shared: Path, families: dict[str, list[Vector]]
) -> None:
    for source in LAYOUT[family]:
        tokenizer = source.open(shared / "tokenizers" / source.path)
        hidden = set(tokenizer.special_ids.values()) - {tokenizer.unk_id}
        names = [f"a{name} {name}" for name in list(tokenizer.special_ids)[:40]]
        for text in [vector.text for vector in families[family]] + names:
            assert not hidden & set(tokenizer.encode(text)), (source.path, text)


@pytest.mark.parametrize("name", list(LLAMA_CPP))
def test_ids_of_another_implementation_are_reproduced(name: str, shared: Path) -> None:
    folder = shared / "tokenizers" / "llama.cpp-vectors"
    texts = (folder / "all.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    lines = (folder / f"ggml-vocab-{name}.gguf.out").read_text().split("\n")
    tokenizer = load_tokenizer(shared / "tokenizers" / LLAMA_CPP[name])
    assert len(texts) == len(lines) == 47
    assert [tokenizer.encode(text) for text in texts] == [
        [int(word) for word in line.split()] for line in lines
    ]


def test_each_kind_of_mistake_is_counted_where_it_is(trained) -> None:
    ids = trained.encode("人工智能 and more")
    right = Vector(line=1, text="人工智能 and more", ids=tuple(ids), decoded="人工智能 and more")
    prefixes = tuple(trained.decode(ids[: place + 1]) for place in range(len(ids)))
    vectors = [
        right,
        Vector(line=2, text=right.text, ids=(*ids, ids[0])),
        Vector(line=3, text=right.text, ids=right.ids, decoded="人工智能 and mare"),
        Vector(line=4, text=right.text, ids=right.ids, prefixes=prefixes),
        Vector(line=5, text=right.text, ids=right.ids, prefixes=("", *prefixes[1:])),
        Vector(line=6, text=right.text, ids=right.ids, with_special=right.ids),
        Vector(line=7, text=right.text, ids=right.ids, with_special=(0, *right.ids)),
    ]
    outcome = check("x", "x", trained, vectors)
    assert outcome.lines == 7
    assert outcome.wrong_lines == [2, 3, 5, 7]
    assert outcome.wrong == {"ids": 1, "decoded": 1, "prefixes": 1, "with_special": 1}


GOOD = {"family": "gpt2", "text": "a", "ids": [64]}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "not JSON"),
        ("[1]", "no JSON object"),
        (json.dumps(GOOD | {"family": "gtp2"}), "not known.*gpt2"),
        (json.dumps(GOOD | {"family": None}), "not known"),
        (json.dumps(GOOD | {"text": 1}), "text must be"),
        (json.dumps(GOOD | {"ids": [1, "x"]}), "ids must be"),
        (json.dumps(GOOD | {"ids": [True]}), "ids must be"),
        (json.dumps(GOOD | {"ids": [-1]}), "ids must be"),
        (json.dumps(GOOD | {"decoded": 5}), "decoded must be"),
        (json.dumps(GOOD | {"kind": "other"}), "kind 'other'"),
        (json.dumps(GOOD | {"kind": "decode_prefixes"}), "decoded_prefixes must be"),
        (json.dumps(GOOD | {"kind": "decode_prefixes", "decoded_prefixes": []}), "0 decoded_prefixes for 1"),
        (json.dumps(GOOD | {"ids_with_special": 3}), "ids_with_special must be"),
    ],
)
def test_a_malformed_vector_is_named_by_its_line(tmp_path: Path, line: str, part: str) -> None:
    path = tmp_path / "vectors.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(StemmaError, match=part) as raised:
        read_vectors(path)
    assert f"{path}:2" in str(raised.value)


@pytest.mark.parametrize(("ids", "status"), [([64], 0), ([65], 1)])
def test_the_exit_status_says_whether_all_is_right(
    tmp_path: Path, ids: list[int], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_gpt2(tmp_path / "root" / "gpt2")
    vectors = tmp_path / "vectors.jsonl"
    vectors.write_text(json.dumps(GOOD | {"ids": ids}) + "\n\n" + json.dumps(GOOD) + "\n")
    command = ["tokenizer", "verify", "--root", str(tmp_path / "root"), "--vectors", str(vectors), "--json"]
    assert main(command) == status
    report = json.loads(capsys.readouterr().out)
    assert report["lines"] == 2
    [row] = report["rows"]
    assert (row["family"], row["lines"], row["wrong"]["ids"], row["num_pieces"]) == ("gpt2", 2, status, 258)
    assert row["wrong_lines"] == [1] * status


def test_what_cannot_be_used_is_said_and_ends_with_status_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = tmp_path / "vectors.jsonl"
    command = ["tokenizer", "verify", "--root", str(tmp_path / "root"), "--vectors", str(vectors)]

    def refused(part: str) -> None:
        assert main(command) == 2
        assert part in capsys.readouterr().err

    refused("vectors.jsonl")
    vectors.write_text("\n")
    refused("no vectors")
    vectors.write_bytes(b"\xff\xfe")
    refused("not UTF-8")
    vectors.write_text(json.dumps(GOOD))
    refused("is no folder")
    (tmp_path / "root").mkdir()
    refused("gpt2: does not exist")


def _write_gpt2(folder: Path) -> None:
    from stemma.tokenizer.fast import BYTE_OF

    folder.mkdir(parents=True)
    vocabulary = {letter: number for number, letter in enumerate(BYTE_OF)} | {"ab": 256, "<|endoftext|>": 257}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
