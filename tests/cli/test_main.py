"""The command line: light to start, clear when misused."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stemma.cli import VERBS, main, module_of

HEAVY = ("torch", "numpy", "tyro", "rich", "pyarrow", "numba", "matplotlib", "tokenizers", "jinja2")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from stemma.cli import main; main(['--help']);"
        f"sys.exit(any(m in sys.modules for m in {HEAVY!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_a_module_and_loads_it_without_torch(verb: str) -> None:
    name = module_of(verb)
    assert importlib.util.find_spec(name) is not None


def test_loading_every_verb_needs_no_torch() -> None:
    modules = ", ".join(module_of(verb) for verb in VERBS)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrian"]) == 2
    assert "did you mean 'pretrain'" in capsys.readouterr().err


def test_a_group_without_its_second_word_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer"]) == 2
    assert "train" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    golden = Path(__file__).resolve().parent.parent / "golden"
    arguments = ["show", str(golden / "yi")]
    code = f"import sys; from stemma.cli import main; sys.exit(main({arguments!r}))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(write)
    assert done.returncode == 0, done.stderr
    assert b"BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("x"),
        torch.OutOfMemoryError("CUDA out of memory\nmany lines"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_is_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> int:
        raise error

    monkeypatch.setattr("stemma.cli.doctor.run", run)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err.startswith("stemma doctor: not enough memory; ")


def test_an_error_of_ours_still_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr("stemma.cli.doctor.run", run)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["doctor"])
