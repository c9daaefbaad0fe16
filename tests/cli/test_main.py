"""The command line: light to start, clear when misused."""

import importlib.util
import subprocess
import sys

import pytest

from stemma.cli import VERBS, main

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
    name = f"stemma.cli.{verb.replace(' ', '_')}"
    assert importlib.util.find_spec(name) is not None


def test_loading_every_verb_needs_no_torch() -> None:
    modules = ", ".join(f"stemma.cli.{verb.replace(' ', '_')}" for verb in VERBS)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrian"]) == 2
    assert "did you mean 'pretrain'" in capsys.readouterr().err


def test_a_group_without_its_second_word_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer"]) == 2
    assert "train" in capsys.readouterr().err
