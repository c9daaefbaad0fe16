import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from stemma.cli import main
from stemma.errors import StemmaError
from stemma.evaluate import evaluation
from stemma.evaluate.evaluation import EvaluationResult, EvaluationSettings, evaluate


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "heldout.jsonl"
    texts = [("en", "Anna lives in Lyon."), ("en", "Tom keeps bees."), ("zh", "安娜住在里昂。")]
    path.write_text("".join(json.dumps({"text": t, "domain": d}) + "\n" for d, t in texts), encoding="utf-8")
    return path


@pytest.fixture
def settings(documents: Path, questions_file: Path) -> EvaluationSettings:
    return EvaluationSettings(
        documents=(str(documents),),
        questions=questions_file,
        train_documents=(documents,),
        max_new_tokens=4,
        device="cpu",
    )


def test_an_evaluation_is_written_once_and_read_afterwards(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    tmp_path: Path,
    settings: EvaluationSettings,
    documents: Path,
) -> None:
    out = tmp_path / "evaluation.json"
    first = evaluate(folder, settings, out)
    written = out.read_bytes()
    assert set(first.bits_per_byte) == {"en", "zh", "all"}
    assert set(first.references["en"]) == {"xz -9", "zstd -19", "zstd -19 after training text", "unigram"}
    assert set(first.protocols) == {"bits_per_byte", "compressors", "unigram", "chat", "plain"}
    assert first.questions is not None
    assert first.questions.protocol == "chat"
    assert list(first.other_protocols) == ["plain"]
    data = json.loads(written)
    assert data["questions"]["accuracy"] == first.questions.accuracy
    assert data["questions"]["by"]["lang"]["zh"]["count"] == 2

    monkeypatch.setattr(
        "stemma.generate.language_model.load_language_model", lambda *_: pytest.fail("loaded again")
    )
    assert evaluate(folder, settings, out) == first
    monkeypatch.undo()
    fresh = tmp_path / "again.json"
    evaluate(folder, settings, fresh)
    assert fresh.read_bytes() == written
    documents.write_text('{"text": "Another text.", "domain": "en"}\n')
    assert isinstance(evaluate(folder, settings, out), EvaluationResult)
    assert out.read_bytes() != written


@pytest.mark.parametrize(
    "name", ["generation_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"]
)
def test_every_file_that_can_change_an_answer_is_in_the_digest(
    name: str, folder: Path, tmp_path: Path, settings: EvaluationSettings
) -> None:
    shutil.copytree(folder, tmp_path / "model")
    before = evaluation._digest(tmp_path / "model", settings)
    (tmp_path / "model" / name).write_text('{"eos_token_id": 3}')
    assert evaluation._digest(tmp_path / "model", settings) != before


def test_the_start_of_documents_is_a_stated_choice(
    folder: Path, tmp_path: Path, settings: EvaluationSettings
) -> None:
    plain = dataclasses.replace(settings, questions=None, train_documents=(), compressors=False)
    none = evaluate(folder, plain, tmp_path / "none.json")
    eos = evaluate(folder, dataclasses.replace(plain, document_start="eos"), tmp_path / "eos.json")
    assert eos.bits_per_byte["all"].tokens == none.bits_per_byte["all"].tokens + 3
    assert "EOS" in eos.protocols["bits_per_byte"]
    assert "nothing" in none.protocols["bits_per_byte"]


def test_tables_show_models_side_by_side_with_protocols(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, documents: Path, questions_file: Path
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    arguments = [
        "evaluate",
        str(folder),
        str(copy),
        "--documents",
        f"mine={documents}",
        "--questions",
        str(questions_file),
    ]
    assert main([*arguments, "--max-new-tokens", "4", "--protocol", "plain", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert "tiny (95 %)" in shown.out
    assert "copy (95 %)" in shown.out
    assert "questions, plain" in shown.out
    assert "windows of 128 tokens" in shown.out
    assert "Next: stemma" in shown.err
    assert (copy / "evaluation.json").is_file()
    (folder / "evaluation.json").unlink()


def test_json_goes_to_stdout_and_the_file(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, documents: Path
) -> None:
    out = tmp_path / "numbers.json"
    arguments = [
        "evaluate",
        str(folder),
        "--documents",
        str(documents),
        "--no-compressors",
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text("utf-8"))
    assert main(["evaluate", str(folder), str(folder), "--documents", str(documents), "--out", str(out)]) == 2
    assert main(["evaluate", str(folder)]) == 2
    assert "nothing to evaluate" in capsys.readouterr().err


def test_missing_inputs_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="nowhere"):
        evaluate(folder, EvaluationSettings(questions=tmp_path / "nowhere.jsonl"), tmp_path / "out.json")
    with pytest.raises(StemmaError, match=r"no config\.json"):
        evaluate(tmp_path, EvaluationSettings(documents=("x",)), tmp_path / "out.json")
