"""The pipeline: complete accounts, the same bytes twice, nothing half-written, a result recognised."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.cli import main
from stemma.corpus import annotated, ledger, read_documents
from stemma.corpus import clean as clean_module
from stemma.corpus.clean import DECISIONS_FILE, SUMMARY, clean, load_summary, unfinished_folder
from stemma.corpus.lock import at_work
from stemma.corpus.summary import CleanSettings
from stemma.errors import CheckFailed, StemmaError

SENTENCES = [
    "The quiet harbour woke before the sun, and men who mended nets were already at work.",
    "Nobody spoke of the storm; it was enough that every boat had come home by evening.",
    "An old dog slept beside the lamp that the keeper had forgotten to put out again.",
    "清晨的港口还没有醒来，补网的人已经开始干活，谁也没有提起那场风暴。",
    "老灯塔的守夜人忘了熄灯，一只黄狗睡在他脚边，像是在等什么人回来。",
]
RECORDS: list[dict[str, Any]] = [
    {"id": "a", "text": " ".join(SENTENCES[:3]), "source": "sea", "licence": "CC0"},
    {"id": "tiny", "text": "404", "source": "web"},
    {"id": "b", "text": SENTENCES[3] + SENTENCES[4], "source": "sea"},
    {"id": "a-copy", "text": "  ".join(SENTENCES[:3]).upper() + "\n", "source": "web"},
    {"id": "a-near", "text": " ".join(SENTENCES[:3]) + " Then came rain.", "source": "web"},
    {
        "id": "mail",
        "text": SENTENCES[4] + "来信请寄li@example.com，电话13812345678。",
        "source": "web",
        "lang": "zh",
    },
    {"id": "loop", "text": "buy now " * 100, "source": "web"},
    {
        "id": "c",
        "text": "Un vieux chien dormait près de la lampe oubliée par le gardien.",
        "source": "web",
        "lang": "fr-CA",
    },
]


def write(path: Path, records: list[dict[str, Any]] = RECORDS) -> Path:
    path.write_bytes(b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records))
    return path


def decisions(folder: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(folder / DECISIONS_FILE).to_pylist()


def documents(folder: Path) -> dict[str, dict[str, Any]]:
    rows = pyarrow.parquet.read_table(folder / "documents").to_pylist()
    return {row["id"]: {key: value for key, value in row.items() if value is not None} for row in rows}


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "in.jsonl")


def test_every_document_has_one_decision_and_the_sums_agree(corpus: Path, tmp_path: Path) -> None:
    summary = clean([corpus], tmp_path / "out")
    rows = decisions(tmp_path / "out")
    assert [row["id"] for row in rows] == [record["id"] for record in RECORDS]
    assert {row["id"]: row["rule"] or row["action"] for row in rows} == {
        "a": "keep",
        "tiny": "too_short",
        "b": "keep",
        "a-copy": "exact_duplicate",
        "a-near": "near_duplicate",
        "mail": "edit",
        "loop": "repetition_ngrams",
        "c": "keep",
    }
    assert summary.total.documents_in == len(RECORDS)
    assert (summary.total.documents_kept, summary.documents_dropped, summary.documents_edited) == (4, 4, 1)
    assert sum(summary.by_rule.values()) == 4
    assert (summary.by_licence["CC0"].documents_in, summary.by_licence[""].documents_kept) == (1, 3)
    for parts in (summary.by_language, summary.by_source, summary.by_licence):
        assert sum(part.documents_in for part in parts.values()) == len(RECORDS)
        assert sum(part.characters_out for part in parts.values()) == summary.total.characters_out
    assert summary.total.characters_in == sum(len(record["text"]) for record in RECORDS)
    assert summary.samples["too_short"] == ("404",)
    assert load_summary(tmp_path / "out") == summary


def test_a_page_of_furniture_is_shown_as_it_was(tmp_path: Path) -> None:
    page = (
        "Skip to content\nHome | News | About | Contact\nPrivacy policy | Terms of use\nAll rights reserved."
    )
    summary = clean([write(tmp_path / "in.jsonl", [*RECORDS, {"text": page}])], tmp_path / "out")
    assert summary.by_rule["boilerplate"] == 1
    assert summary.samples["boilerplate"] == (page,)


def test_the_digest_of_the_settings_differs_with_them(corpus: Path, tmp_path: Path) -> None:
    settings = [CleanSettings(), CleanSettings(), CleanSettings(jaccard=0.8)]
    found = [clean([corpus], tmp_path / str(i), each).settings_sha256 for i, each in enumerate(settings)]
    assert found[0] == found[1] != found[2]


def test_kept_documents_carry_their_text_fields_and_weight(corpus: Path, tmp_path: Path) -> None:
    clean([corpus], tmp_path / "out")
    kept = documents(tmp_path / "out")
    assert list(kept) == ["a", "b", "mail", "c"]
    assert kept["a"] == {**RECORDS[0], "lang": "en", "domain": "in", "weight": 3}
    assert (kept["b"]["lang"], kept["b"]["weight"], kept["c"]["lang"]) == ("zh", 1, "fr-CA")
    assert kept["mail"]["text"].endswith("来信请寄<EMAIL>，电话<PHONE>。")
    row = decisions(tmp_path / "out")[5]
    assert [RECORDS[5]["text"][s["start"] : s["end"]] for s in row["spans"]] == [
        "li@example.com",
        "13812345678",
    ]
    assert [document.id for document in read_documents(tmp_path / "out")] == list(kept)


def test_weights_of_an_earlier_cleaning_add_up(tmp_path: Path) -> None:
    text = " ".join(SENTENCES[:3])
    weighed: list[tuple[str, Any]] = [
        (text, 5),
        (text.upper(), 2),
        (text + " Then came rain.", 4),
        (SENTENCES[3], 3),
    ]
    weighed += [(SENTENCES[4], 0.5), (SENTENCES[3] + SENTENCES[4], "heavy")]
    records = [{"id": str(i), "text": each, "weight": weight} for i, (each, weight) in enumerate(weighed)]
    clean([write(tmp_path / "in.jsonl", records)], tmp_path / "once")
    clean([tmp_path / "once" / "documents"], tmp_path / "twice")
    for out in ("once", "twice"):
        found = {name: row["weight"] for name, row in documents(tmp_path / out).items()}
        assert found == {"0": 11, "3": 3, "4": 1, "5": 1}


def test_a_dropped_copy_names_a_document_that_stays(corpus: Path, tmp_path: Path) -> None:
    write(corpus, [*RECORDS, {"id": "near-copy", "text": RECORDS[4]["text"].lower()}])
    clean([corpus], tmp_path / "out")
    kept = documents(tmp_path / "out")
    twins = {row["id"]: row["twin"] for row in decisions(tmp_path / "out") if row["twin"]}
    assert twins == {"a-copy": "a", "a-near": "a", "near-copy": "a"}
    assert kept["a"]["weight"] == 4


@settings(max_examples=25, deadline=None)
@given(
    st.permutations(range(6)),
    st.sampled_from([str.upper, str.lower, str.title]),
    st.sampled_from([" ", "\n", " \t "]),
)
def test_exact_copies_are_found_after_case_and_white_space_changes(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], change: Any, gap: str
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    originals = [SENTENCES[0], SENTENCES[1], SENTENCES[3]]
    texts = originals + [change(text).replace(" ", gap) + gap for text in originals]
    corpus = write(folder / "in.jsonl", [{"id": str(i), "text": texts[i]} for i in order])
    summary = clean([corpus], folder / "out")
    assert summary.by_rule == {"exact_duplicate": 3}
    kept = {int(name) % 3 for name in documents(folder / "out")}
    assert kept == {0, 1, 2}


def test_two_runs_write_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        clean([corpus], tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert list(contents(tmp_path / "one")) == [
        "cleaning.json",
        "decisions.parquet",
        "documents/000000.parquet",
        "measures/000000.parquet",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "one", "two"]


def test_a_second_run_is_recognised_without_reading_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = clean([corpus], tmp_path / "out")
    written = (tmp_path / "out" / SUMMARY).stat().st_mtime_ns
    monkeypatch.setattr(clean_module, "annotate_part", lambda *_: pytest.fail("read again"))
    assert clean([corpus], tmp_path / "out") == first
    assert (tmp_path / "out" / SUMMARY).stat().st_mtime_ns == written


def test_another_result_in_the_output_folder_is_refused_unless_forced(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    clean([corpus], out)
    with pytest.raises(StemmaError, match="result of other settings"):
        clean([corpus], out, CleanSettings(redact=False))
    write(corpus, RECORDS[:3])
    with pytest.raises(StemmaError, match="result of other inputs"):
        clean([corpus], out)
    assert clean([corpus], out, force=True).total.documents_in == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out"]


def test_a_changed_result_is_noticed(corpus: Path, tmp_path: Path) -> None:
    clean([corpus], tmp_path / "out")
    (tmp_path / "out" / "documents" / "000000.parquet").write_bytes(b"")
    with pytest.raises(CheckFailed, match="was changed"):
        clean([corpus], tmp_path / "out")


def test_a_folder_that_is_no_result_is_never_replaced(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("dear")
    with pytest.raises(StemmaError, match="is no result of stemma clean"):
        clean([corpus], tmp_path / "home", force=True)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "dear"


def test_an_output_inside_the_input_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="lies inside the input"):
        clean([tmp_path], tmp_path / "out")


def test_an_input_inside_the_output_is_refused_and_kept(corpus: Path, tmp_path: Path) -> None:
    clean([corpus], tmp_path / "out")
    cleaned = tmp_path / "out" / "documents" / "000000.parquet"
    before = cleaned.read_bytes()
    with pytest.raises(StemmaError, match="holds the input"):
        clean([cleaned], tmp_path / "out", force=True)
    assert cleaned.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_a_corpus_without_documents_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.jsonl").write_bytes(data)
    with pytest.raises(StemmaError, match="holds no document"):
        clean([tmp_path / "in.jsonl"], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_bad_records_stop_the_run_or_are_counted(corpus: Path, tmp_path: Path) -> None:
    corpus.write_bytes(corpus.read_bytes() + b'{"text": 1}\n{"text": "\xff"}\n')
    with pytest.raises(StemmaError, match=r"in\.jsonl, line 9: "):
        clean([corpus], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    summary = clean([corpus], tmp_path / "out", CleanSettings(on_error="skip"))
    assert dict(summary.bad_records) == {"not UTF-8": 1, "text is not a string": 1}
    assert summary.total.documents_in == len(RECORDS)


def test_a_truncated_archive_leaves_nothing_behind(corpus: Path, tmp_path: Path) -> None:
    data = zstandard.ZstdCompressor().compress(corpus.read_bytes() * 50)
    corpus.unlink()
    (tmp_path / "in.jsonl.zst").write_bytes(data[:-10])
    with pytest.raises(StemmaError, match=r"in\.jsonl\.zst, line \d+: cannot be read"):
        clean([tmp_path / "in.jsonl.zst"], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl.zst"]


def test_a_full_disk_leaves_nothing_half_written(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for target, name in ((os, "fsync"), (annotated.PartWriter, "add")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, full)
            with pytest.raises(OSError, match="No space left"):
                clean([corpus], tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_write_table", full)
        with pytest.raises(OSError, match="No space left"):
            clean([corpus], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.unfinished"]
    clean([corpus], tmp_path / "out")
    clean([corpus], tmp_path / "straight")
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")
    assert not (tmp_path / "out.unfinished").exists()


def test_a_failed_replacement_keeps_the_old_result(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = clean([corpus], tmp_path / "out")
    monkeypatch.setattr(clean_module, "write_part", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        clean([corpus], tmp_path / "out", force=True)
    assert load_summary(tmp_path / "out") == first


@pytest.mark.parametrize(
    "wrong", [{"jaccard": 0.0}, {"jaccard": 1.5}, {"num_bands": 0}, {"shingle_size": 99}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StemmaError, match=next(iter(wrong))):
        CleanSettings(**wrong)


def test_switched_off_steps_do_nothing(corpus: Path, tmp_path: Path) -> None:
    off = CleanSettings(exact_duplicates=False, near_duplicates=False, redact=False)
    summary = clean([corpus], tmp_path / "out", off)
    assert set(summary.by_rule) == {"too_short", "repetition_ngrams"}
    assert summary.documents_edited == 0


def test_samples_in_the_summary_hide_personal_information(tmp_path: Path) -> None:
    corpus = write(tmp_path / "in.jsonl", [*RECORDS, {"text": "li@example.com " * 60}])
    clean([corpus], tmp_path / "out")
    assert "li@example.com" not in (tmp_path / "out" / SUMMARY).read_text("utf-8")


def test_the_verb_prints_json_on_stdout_and_talk_on_stderr(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", str(corpus), "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["total"]["documents_kept"] == 4
    assert "near_duplicate" in printed.err
    assert "stemma tokenizer train" in printed.err


def test_the_verb_exits_2_on_bad_input_and_1_when_nothing_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "out")]) == 2
    assert "does not exist" in capsys.readouterr().err
    corpus = write(tmp_path / "in.jsonl", [{"text": "x"}])
    assert main(["clean", str(corpus), "--out", str(tmp_path / "out")]) == 1
    assert "no document was kept" in capsys.readouterr().err


def test_json_lines_hold_the_same_documents_as_parquet(corpus: Path, tmp_path: Path) -> None:
    clean([corpus], tmp_path / "rows")
    clean([corpus], tmp_path / "lines", CleanSettings(format="jsonl"))
    assert list(read_documents(tmp_path / "lines")) == list(read_documents(tmp_path / "rows"))
    assert decisions(tmp_path / "lines") == decisions(tmp_path / "rows")


def test_an_id_that_stands_twice_is_named_or_counted(corpus: Path, tmp_path: Path) -> None:
    write(corpus, [*RECORDS, {**RECORDS[2], "id": "a", "source": "other"}])
    with pytest.raises(StemmaError, match=r"'a' stands twice, at documents 1 and 9 .*sea and other"):
        clean([corpus], tmp_path / "out")
    summary = clean([corpus], tmp_path / "out", CleanSettings(on_error="skip"))
    assert dict(summary.bad_records) == {"duplicate id": 1}
    assert "'a' stands twice" in summary.bad_examples[0]
    assert summary.total.documents_in == len(RECORDS)
    assert len(decisions(tmp_path / "out")) == len(RECORDS)


def test_a_stopped_run_is_not_begun_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean([corpus], tmp_path / "straight")
    with monkeypatch.context() as patch:
        patch.setattr(clean_module, "write_part", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            clean([corpus], tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(clean_module, "annotate_part", lambda *_: pytest.fail("read again"))
        clean([corpus], tmp_path / "out", CleanSettings(on_error="refuse"))
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_work_of_other_inputs_or_settings_is_not_gone_on_with(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(clean_module, "write_part", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            clean([corpus], tmp_path / "out")
    left = contents(tmp_path / "out.unfinished")
    write(corpus, RECORDS[:3])
    with pytest.raises(
        StemmaError, match="a stopped run with other input files, jaccard, redact; the same command"
    ):
        clean([corpus], tmp_path / "out", CleanSettings(redact=False, jaccard=0.8))
    assert contents(tmp_path / "out.unfinished") == left
    summary = clean([corpus], tmp_path / "out", CleanSettings(redact=False), force=True)
    assert summary.total.documents_in == 3
    assert not (tmp_path / "out.unfinished").exists()


def test_one_process_at_a_time_works_on_an_output_folder(corpus: Path, tmp_path: Path) -> None:
    folder = unfinished_folder(tmp_path / "out")
    with at_work(folder, 0):
        (folder / "run.json").write_text("{}")  # as if the other one had begun
        with pytest.raises(
            StemmaError, match=f"process {os.getpid()} of .* is at work here as rank 0; wait for it"
        ):
            clean([corpus], tmp_path / "out", force=True)
        (folder / "run.json").unlink()
    assert not folder.exists()
    folder.mkdir()
    (folder / "rank-00000.lock").write_text("process 1 of a machine that lost power")
    clean([corpus], tmp_path / "out")
    assert not folder.exists()


def test_two_commands_at_once_do_not_harm_each_other(corpus: Path, tmp_path: Path) -> None:
    straight = clean([corpus], tmp_path / "straight")
    program = "import sys; from stemma.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [
        sys.executable,
        "-c",
        program,
        "clean",
        str(corpus),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    codes = {process.communicate()[1] and process.returncode for process in both}
    assert 0 in codes
    assert codes <= {0, 2}
    assert load_summary(tmp_path / "out") == straight
    assert not unfinished_folder(tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_not_taken_for_a_stopped_run(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / "thesis.txt").write_text("chapter 1")
    for force in (False, True):
        with pytest.raises(StemmaError, match="is no stopped run of stemma clean; move it away"):
            clean([corpus], tmp_path / "out", force=force)
    assert (tmp_path / "out.unfinished" / "thesis.txt").read_text() == "chapter 1"
