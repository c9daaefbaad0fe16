"""Damaged and hostile input files: each is named and survived, memory stays bounded, and no record is lost unnoticed."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from stemma.cli import main
from stemma.corpus import BadRecords, read_documents
from stemma.corpus.clean import clean as clean_corpus
from stemma.corpus.clean import load_summary
from stemma.corpus.files import find_files
from stemma.errors import StemmaError

_MEASURE = """
import resource, sys
from pathlib import Path
from stemma.corpus import BadRecords, parts, read_documents
import orjson, pyarrow.parquet
parts.MAX_RECORD_BYTES = 8 << 20
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bad = BadRecords()
count = sum(1 for _ in read_documents(Path(sys.argv[1]), "skip", bad))
print(count, dict(bad.reasons), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, sep="|")
"""


SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "par", "set", "tor", "vil", "wen")


def text_of(number: int) -> str:
    """A sentence no other has, long enough to be kept."""
    digits = f"{pow(7, number + 100, 10**60 + 7):060}"
    names = (digits[i : i + 3] for i in range(0, len(digits), 3))
    words = " ".join("".join(SYLLABLES[int(digit)] for digit in name) for name in names)
    return f"Report {number}: the {words}, and that is what was seen on the day of the {number} journey."


def lines(first: int, count: int) -> bytes:
    records = ({"text": text_of(number)} for number in range(first, first + count))
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parquet(column: Any, **options: Any) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), sink, **options)
    return sink.getvalue().to_pybytes()


def skipped(path: Path) -> tuple[list[str], dict[str, int]]:
    bad = BadRecords()
    texts = [document.text for document in read_documents(path, "skip", bad)]
    assert sum(bad.reasons.values()) == bad.count
    return texts, dict(bad.reasons)


GOOD = 3
WHOLE_PARQUET = parquet([text_of(i) for i in range(4000)], row_group_size=500)
COLUMN = [text_of(i) for i in range(GOOD)]
# name: (bytes, documents that are read at least and at most, reasons of what is passed over)
FILES: dict[str, tuple[bytes, int, int, dict[str, int]]] = {
    "truncated.jsonl.zst": (zstandard.compress(lines(0, 3000))[:-5000], 0, 2999, {"damaged file": 1}),
    "truncated.jsonl.gz": (gzip.compress(lines(0, 3000))[:-5000], 0, 2999, {"damaged file": 1}),
    "no-end.jsonl.gz": (gzip.compress(lines(0, GOOD))[:-4], 0, GOOD, {"damaged file": 1}),
    "no-gzip.jsonl.gz": (lines(0, GOOD), 0, 0, {"damaged file": 1}),
    "no-zstd.jsonl.zst": (lines(0, GOOD), 0, 0, {"damaged file": 1}),
    "second-frame.jsonl.zst": (
        zstandard.compress(lines(0, GOOD)) + zstandard.compress(lines(5, 500))[:-900],
        0,
        502,
        {"damaged file": 1},
    ),
    "trailing-zeros.jsonl.gz": (gzip.compress(lines(0, GOOD)) + b"\x00" * 600, GOOD, GOOD, {}),
    "last-line-cut.jsonl": (lines(0, GOOD) + b'{"text": "cut of', GOOD, GOOD, {"not JSON": 1}),
    "invalid-utf8.jsonl": (lines(0, 1) + b'{"text": "a\xc3("}\n' + lines(1, 2), 3, 3, {"not UTF-8": 1}),
    "utf16.jsonl": ('{"text": "a"}\n'.encode("utf-16"), 0, 0, {"not UTF-8": 1, "not JSON": 1}),
    "raw-nul.jsonl": (lines(0, 1) + b"\x00" * 100 + b"\n" + lines(1, 2), 3, 3, {"not JSON": 1}),
    "deep.jsonl": (lines(0, 1) + b'{"text": ' * 100_000 + b"\n" + lines(1, 2), 3, 3, {"not JSON": 1}),
    "deep-lists.jsonl": (
        b'{"text": "t", "x": ' + b"[" * 100_000 + b"\n" + lines(1, 2),
        2,
        2,
        {"not JSON": 1},
    ),
    "nan.jsonl": (b'{"text": NaN}\n' + lines(1, 2), 2, 2, {"text is not a string": 1}),
    "huge-number.jsonl": (b'{"text": "t", "id": 1e999}\n' + lines(1, 2), 2, 2, {"id is not a string": 1}),
    "surrogate.jsonl": (b'{"text": "\\ud800"}\n' + lines(1, 2), 2, 2, {"broken Unicode": 1}),
    "one-long-list.jsonl": (b"[" + b"1," * 50_000 + b"1]\n" + lines(1, 2), 2, 2, {"not an object": 1}),
    "cut.parquet": (WHOLE_PARQUET[: len(WHOLE_PARQUET) // 2], 0, 0, {"damaged file": 1}),
    "overwritten.parquet": (
        WHOLE_PARQUET[:30_000] + b"\xff" * 2000 + WHOLE_PARQUET[32_000:],
        0,
        3999,
        {"damaged file": 1},
    ),
    "no.parquet": (b"PAR1", 0, 0, {"damaged file": 1}),
    "number.parquet": (parquet([1, 2, 3]), 0, 0, {"text is not a string": 3}),
    "list.parquet": (parquet([["a"], ["b"]]), 0, 0, {"text is not a string": 2}),
    "null.parquet": (parquet(pyarrow.nulls(3)), 0, 0, {"no text": 3}),
    "dictionary.parquet": (parquet(pyarrow.array(COLUMN).dictionary_encode()), GOOD, GOOD, {}),
    "large.parquet": (parquet(pyarrow.array(COLUMN, pyarrow.large_string())), GOOD, GOOD, {}),
    "view.parquet": (parquet(pyarrow.array(COLUMN, pyarrow.string_view())), GOOD, GOOD, {}),
}
EMPTY = {
    "empty.jsonl": b"",
    "blank.jsonl": b"\n\n  \n",
    "empty.jsonl.gz": gzip.compress(b""),
    "empty.jsonl.zst": zstandard.compress(b""),
    "empty.parquet": parquet(pyarrow.array([], pyarrow.string())),
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_by_name_or_passed_over_and_counted(tmp_path: Path, name: str) -> None:
    data, least, most, reasons = FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    texts, counted = skipped(path)
    assert least <= len(texts) <= most
    assert counted == reasons
    if not reasons:
        assert len(list(read_documents(path))) == len(texts)
        return
    with pytest.raises(StemmaError) as caught:
        list(read_documents(path))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["truncated.jsonl.zst", "truncated.jsonl.gz", "second-frame.jsonl.zst"])
def test_the_records_before_a_damaged_place_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name][0])
    assert len(skipped(tmp_path / name)[0]) >= GOOD


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_file_holds_no_document(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(EMPTY[name])
    assert list(read_documents(tmp_path / name)) == []
    assert skipped(tmp_path / name) == ([], {})


@pytest.mark.parametrize(
    ("name", "line"), [("invalid-utf8.jsonl", 2), ("deep.jsonl", 2), ("last-line-cut.jsonl", 4)]
)
def test_the_line_is_named(tmp_path: Path, name: str, line: int) -> None:
    (tmp_path / name).write_bytes(FILES[name][0])
    with pytest.raises(StemmaError, match=rf"{name}, line {line}: "):
        list(read_documents(tmp_path / name))


def test_nul_characters_inside_a_text_are_kept_as_damaged_characters(tmp_path: Path) -> None:
    texts = ["a\x00b", "\x00", text_of(1) + "\x00" * 50]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert skipped(tmp_path / "a.jsonl") == (texts, {})
    (tmp_path / "a.jsonl").write_bytes(lines(0, 2) + (tmp_path / "a.jsonl").read_bytes())
    assert clean(tmp_path / "a.jsonl", tmp_path / "out") == 0
    assert load_summary(tmp_path / "out").total.documents_in == 5


def test_binary_text_that_is_no_utf8_does_not_pass_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet(pyarrow.array([b"good", b"\xff\xfe"], pyarrow.binary())))
    texts, reasons = skipped(tmp_path / "a.parquet")
    assert texts in ([], ["good"])
    assert len(texts) + sum(reasons.values()) == 2


def test_a_string_column_that_holds_no_utf8_is_named(tmp_path: Path) -> None:
    good = pyarrow.array(["good", "bytes"], pyarrow.string())
    forged = pyarrow.Array.from_buffers(
        pyarrow.string(), 2, [None, good.buffers()[1], pyarrow.py_buffer(b"good\xff\xfe\xff\xfe\xff")]
    )
    (tmp_path / "a.parquet").write_bytes(parquet(forged))
    texts, reasons = skipped(tmp_path / "a.parquet")
    assert texts in ([], ["good"])
    assert sum(reasons.values()) >= 1
    with pytest.raises(StemmaError, match=r"a\.parquet"):
        list(read_documents(tmp_path / "a.parquet"))


def test_bombs_and_endless_lines_take_bounded_memory(tmp_path: Path) -> None:
    size = 1 << 27
    bombs = {".jsonl.zst": zstandard.compress, ".jsonl.gz": lambda data: gzip.compress(data, 1)}
    for ending, compress in bombs.items():
        (tmp_path / f"bomb{ending}").write_bytes(compress(b"\x00" * (1 << 24)) * (size >> 24))
    with (tmp_path / "bomb.jsonl").open("wb") as file:
        file.truncate(size)  # one line, without its bytes on disk
    command = [sys.executable, "-c", _MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, reasons, mebibytes = done.stdout.strip().split("|")
    assert (count, reasons) == ("0", "{'too large': 3}")
    assert int(mebibytes) < 64


# -- folders and names


def test_an_empty_folder_and_one_of_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    with pytest.raises(StemmaError, match="holds no file that can be read"):
        find_files([tmp_path])
    (tmp_path / "inside" / "a.pdf").write_bytes(b"x")
    with pytest.raises(StemmaError, match="holds no file that can be read"):
        find_files([tmp_path])


def test_links_that_form_loops_end_and_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(0, GOOD))
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.jsonl").symlink_to(tmp_path / "self.jsonl")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    (tmp_path / "linked.jsonl").symlink_to(tmp_path / "a.jsonl")
    files, ignored = find_files([tmp_path])
    assert [file.name for file in files] == ["a.jsonl", "linked.jsonl"]
    assert ignored == ["gone.jsonl", "loop", "self.jsonl"]


def test_file_names_that_are_no_utf8_become_ids_that_are(tmp_path: Path) -> None:
    for name in (b"\xff\xfe.jsonl", b"\xe4.jsonl"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b'{"text": "t"}\n{"text": 5}\n')
    bad = BadRecords()
    names = [document.id for document in read_documents(tmp_path, "skip", bad)]
    assert names == ["\\xe4.jsonl:1", "\\xff\\xfe.jsonl:1"]
    assert bad.count == 2
    with pytest.raises(StemmaError, match="line 2: 'text' is a number"):
        list(read_documents(tmp_path))


def test_messages_about_file_names_that_are_no_utf8_can_be_printed(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    path.write_bytes(lines(0, 2) + b'{"text": 5}\n')
    bad = BadRecords()
    list(read_documents(path, "skip", bad))
    bad.examples[0].encode("utf-8")


def test_equal_names_take_their_folders_in_front(tmp_path: Path) -> None:
    for folder in ("a/x", "b/x", "c"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "docs.jsonl").write_bytes(lines(0, 1))
    places = [tmp_path / "a" / "x", tmp_path / "b" / "x" / "docs.jsonl", tmp_path / "c" / "docs.jsonl"]
    assert [file.name for file in find_files(places[:1])[0]] == ["docs.jsonl"]
    assert [file.name for file in find_files(places[1:])[0]] == ["x/docs.jsonl", "c/docs.jsonl"]
    assert [file.name for file in find_files(places)[0]] == [
        "a/x/docs.jsonl",
        "b/x/docs.jsonl",
        "c/docs.jsonl",
    ]


def test_names_that_only_look_alike_do_not_keep_it_waiting(tmp_path: Path) -> None:
    paths = [Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/\xff.jsonl", b"/\\xff.jsonl")]
    for path in paths:
        path.write_bytes(lines(0, 1))
    assert len(find_files(paths)[0]) == 2


@pytest.mark.parametrize("second", ["a.jsonl", "../{}/a.jsonl", "."])
def test_a_file_that_is_given_twice_is_refused(tmp_path: Path, second: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(0, 1))
    inputs = [tmp_path / "a.jsonl", tmp_path / second.format(tmp_path.name)]
    assert len({file.name for file in find_files(inputs)[0]}) == 1
    with pytest.raises(StemmaError, match=r"a\.jsonl: is given twice"):
        clean_corpus(inputs, tmp_path.parent / f"{tmp_path.name}-out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "a.jsonl").write_bytes(lines(0, 1))
    (tmp_path / "inside" / "b.jsonl").write_bytes(lines(0, 1))
    for path, mode in ((tmp_path / "inside", 0o700), (tmp_path / "a.jsonl", 0o600)):
        path.chmod(0)
        try:
            with pytest.raises(StemmaError, match=f"{path.name}: cannot be read"):
                list(read_documents(tmp_path))
        finally:
            path.chmod(mode)


# -- the whole cleaning


def clean(path: Path, out: Path, *options: str) -> int:
    return main(["clean", str(path), "--out", str(out), "--workers", "1", *options])


def test_a_cleaning_that_skips_accounts_for_every_record(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    read, passed_over = 0, dict[str, int]()
    for name, (data, *_) in FILES.items():
        (corpus / name).write_bytes(data)
        texts, reasons = skipped(corpus / name)
        read += len(texts)
        passed_over = {key: passed_over.get(key, 0) + reasons.get(key, 0) for key in {*passed_over, *reasons}}
    for name, data in EMPTY.items():
        (corpus / name).write_bytes(data)
    assert clean(corpus, tmp_path / "out", "--on-error", "skip") == 0
    summary = load_summary(tmp_path / "out")
    assert summary.bad_records == passed_over
    assert summary.total.documents_in == read
    assert summary.total.documents_in == summary.total.documents_kept + summary.documents_dropped
    assert summary.documents_dropped == sum(summary.by_rule.values())
    decisions = pyarrow.parquet.read_table(tmp_path / "out" / "decisions.parquet", columns=["action"])
    assert decisions.num_rows == read
    assert len(list(read_documents(tmp_path / "out"))) == summary.total.documents_kept


@pytest.mark.parametrize(
    "name", ["truncated.jsonl.zst", "invalid-utf8.jsonl", "cut.parquet", "number.parquet"]
)
def test_a_cleaning_that_refuses_says_where_and_leaves_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_bytes(FILES[name][0])
    assert clean(tmp_path / name, tmp_path / "out") == 2
    assert name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_corpus_without_documents_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in EMPTY.items():
        (tmp_path / name).write_bytes(data)
    assert clean(tmp_path, tmp_path.with_name(f"{tmp_path.name}-out")) == 2
    assert "no document" in capsys.readouterr().err


def test_an_id_that_two_documents_have_is_refused_or_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [{"id": "same", "text": text_of(1)}, {"text": text_of(2)}, {"id": "same", "text": text_of(3)}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert clean(tmp_path / "a.jsonl", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "same" in message
    assert "a.jsonl" in message
    assert clean(tmp_path / "a.jsonl", tmp_path / "out", "--on-error", "skip") == 0
    summary = load_summary(tmp_path / "out")
    assert summary.bad_records == {"duplicate id": 1}
    assert summary.total.documents_in == 2


def test_a_cleaning_of_names_that_are_no_utf8_can_be_written(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    path.write_bytes(lines(0, 2) + b'{"text": 5}\n')
    assert clean(path, tmp_path / "out", "--on-error", "skip") == 0
    summary = load_summary(tmp_path / "out")
    assert [record.name for record in summary.inputs] == ["\\xff.jsonl"]
    assert summary.bad_records == {"text is not a string": 1}
