"""show and doctor: one screen, JSON on request, stdout for data alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from stemma.cli import main
from stemma.config import plain
from stemma.model.spec import Spec

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def test_show_fits_a_screen_and_says_what_is_unusual(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "show", GOLDEN / "baichuan2-13b")
    assert "NormHead" in text
    assert "ALiBi" in text
    assert "baichuan2" in text.split("chat", 1)[1].split("\n")[0]
    assert "71,664" in text
    assert len(text.splitlines()) <= 24


def test_show_json_holds_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(output(capsys, "show", GOLDEN / "llama-rope-yarn", "--json"))
    assert data["family"] == "llama"
    assert data["parameters"] == 66288
    assert data["kv_bytes_per_token"]["bfloat16"] == 2 * 2 * 2 * 48
    assert data["weight_bytes"]["int4"] == 33144
    assert "YaRN of factor 4" in data["context"]
    assert data["special_ids"] == {"bos": 1, "eos": [2], "pad": 0}


def test_show_of_two_prints_their_difference(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "show", GOLDEN / "llama1-mha", GOLDEN / "llama2-gqa")
    assert "MHA with 4 heads of 12 -> GQA with 6 heads of 8, 2 groups of keys and values" in text
    assert "same architecture" in output(capsys, "show", GOLDEN / "yi", GOLDEN / "yi")


def test_show_reads_a_spec_file_and_a_run_folder(
    spec: Spec, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.toml").write_text(tomli_w.dumps(plain(spec)))
    alone = json.loads(output(capsys, "show", tmp_path / "spec.toml", "--json"))
    run = json.loads(output(capsys, "show", folder.parent, "--json"))
    assert alone["spec"] == run["spec"] == plain(spec)
    assert alone["family"] is None


def test_show_of_nothing_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path / "nothing")]) == 2
    assert main(["show", str(tmp_path)]) == 2
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().out == ""


def test_doctor_lists_versions_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(output(capsys, "doctor", "--json"))
    assert data["required"]["torch"]
    assert set(data["extras"]) >= {"clean", "report"}
    assert data["cores"] >= 1
    assert "torch" in output(capsys, "doctor")


def test_doctor_works_where_torch_is_missing() -> None:
    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "import importlib.metadata as m; version = m.version\n"
        "def gone(name):\n"
        "    if name in ('torch', 'pyarrow'): raise m.PackageNotFoundError(name)\n"
        "    return version(name)\n"
        "m.version = gone\n"
        "from stemma.cli import main; sys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch is not installed" in done.stdout
    assert "pip install 'stemma-llm[clean]'" in done.stdout
