"""Bad input at the command line: one sentence, a non-zero exit status, nothing half-written."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stemma.cli import main

WEIGHTS = "model.safetensors"
NORM = "model.norm.weight"


def _truncate(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def _tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return damage


def _unknown_key(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_sizes": 48}))


def _nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors[NORM][0] = torch.nan


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_truncate, WEIGHTS),
    "missing tensor": (_tensors(lambda t: t.pop(NORM)), NORM),
    "extra tensor": (_tensors(lambda t: t.update(surprise=torch.ones(3))), "surprise"),
    "wrong shape": (_tensors(lambda t: t.update({NORM: torch.ones(5)})), NORM),
    "unknown config key": (_unknown_key, "hidden_sizes"),
    "NaN weights": (_tensors(_nan), "norm.weight"),
}


def _refused(capsys: pytest.CaptureFixture[str], arguments: list[str], *named: str) -> None:
    capsys.readouterr()
    status = main(arguments)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status in (1, 2)
    assert error.startswith(f"stemma {arguments[0]}")
    assert "Traceback" not in error
    for word in named:
        assert word in error


def _only(folder: Path, *names: str) -> None:
    """Nothing lies in `folder` but `names`, hidden leftovers included."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "command",
    [["upgrade", "in", "--to", "num_kv_heads=2", "--out", "out"], ["verify", "in"]],
    ids=["upgrade", "verify"],
)
def test_a_damaged_checkpoint_is_refused(
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: str,
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(golden / "llama1-mha", tmp_path / "in")
    change, named = DAMAGES[damage]
    change(tmp_path / "in")
    if command[0] == "verify":
        assert main([*command, "--json"]) in (1, 2)
        told = capsys.readouterr()
        assert named in told.out + told.err
    else:
        _refused(capsys, command, named)
    _only(tmp_path, "in")


GOOD = json.dumps(
    {"text": "a line of text that is long enough to be kept by every rule of the cleaning"}
).encode()
BAD_CORPORA = {
    "not UTF-8": (GOOD + b'\n{"text": "caf\xe9"}\n', "line 2"),
    "malformed JSON": (GOOD + b'\n{"text": "a"\n', "line 2"),
    "empty": (b"", "in.jsonl"),
}


@pytest.mark.parametrize("corpus", BAD_CORPORA)
@pytest.mark.parametrize("verb", ["clean", "tokenizer train"])
def test_a_bad_corpus_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    corpus: str,
    verb: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    content, named = BAD_CORPORA[corpus]
    (tmp_path / "in.jsonl").write_bytes(content)
    options = ["--vocab-size", "300"] if verb == "tokenizer train" else []
    place = ("in.jsonl", named) if corpus != "empty" else ()
    _refused(capsys, [*verb.split(), "in.jsonl", *options, "--out", "out"], *place)
    _only(tmp_path, "in.jsonl")


def _commands(golden: Path, out: str) -> list[list[str]]:
    checkpoint = str(golden / "llama1-mha")
    return [
        ["clean", "in.jsonl", "--out", out],
        ["tokenizer", "train", "in.jsonl", "--vocab-size", "300", "--out", out],
        ["upgrade", checkpoint, "--to", "num_kv_heads=2", "--out", out],
        ["corpus", "playground", "--size", "60", "--out", out],
        ["pretrain", "in.toml", "--out", out],
    ]


@pytest.fixture
def inputs(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A folder with a corpus, a tokenizer and a recipe, made the working directory; the names in it."""
    monkeypatch.chdir(tmp_path)
    text = "the quick brown fox jumps over the lazy dog and runs away from it as fast as it can today"
    lines = [json.dumps({"text": f"{text} {n * 7919 % 1000} times"}) for n in range(50)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    assert main(["tokenizer", "train", "in.jsonl", "--vocab-size", "300", "--out", "tokenizer"]) == 0
    block = (
        "{attention = {num_heads = 2, num_kv_heads = 2, head_dim = 8, position = {kind = 'rope'}},"
        " feed_forward = {intermediate_size = 16}}"
    )
    (tmp_path / "in.toml").write_text(
        f"""seed = 0
steps = 1
tokenizer = "tokenizer"
model = {{vocab_size = 300, hidden_size = 16, num_layers = 1, max_seq_len = 32, blocks = [{block}]}}
data = {{train = ["in.jsonl"], sequence_length = 32}}
optimizer = {{learning_rate = 1e-3}}
train = {{batch_size = 2}}
"""
    )
    return ["in.jsonl", "in.toml", "tokenizer"]


@pytest.mark.parametrize("index", range(5), ids=["clean", "tokenizer", "upgrade", "playground", "pretrain"])
def test_a_full_disk_leaves_nothing_half_written(
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    inputs: list[str],
    index: int,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    _refused(capsys, _commands(golden, "out")[index], "No space left")
    monkeypatch.undo()
    out = tmp_path / "out"
    assert not out.exists() or not [path for path in out.rglob("*") if path.is_file()]
    _only(tmp_path, *inputs, *(["out"] if out.exists() else []))


@pytest.mark.parametrize("index", range(5), ids=["clean", "tokenizer", "upgrade", "playground", "pretrain"])
def test_an_output_that_cannot_be_written_is_named(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], inputs: list[str], index: int
) -> None:
    (tmp_path / "file").write_text("in the way")
    _refused(capsys, _commands(golden, "file/out")[index], "file")
    assert (tmp_path / "file").read_text() == "in the way"
    _only(tmp_path, "file", *inputs)
