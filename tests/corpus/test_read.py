"""Reading: every kind of file, and every way a record can be wrong, with file and line named."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from stemma.corpus import BadRecords, parts, read, read_documents, read_records
from stemma.errors import StemmaError

TEXTS = ["one\u2028line", "two\x85next", "三\r\n行", "four\x0cpage"]


def limit(monkeypatch: pytest.MonkeyPatch, num_bytes: int) -> None:
    for module in (parts, read):
        monkeypatch.setattr(module, "MAX_RECORD_BYTES", num_bytes)


def json_lines(*records: object) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def write(path: Path, data: bytes) -> Path:
    if path.name.endswith(".zst"):
        data = zstandard.ZstdCompressor().compress(data)
    elif path.name.endswith(".gz"):
        data = gzip.compress(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst", "a.jsonl.gz"])
def test_json_lines_are_split_at_newlines_only(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, json_lines(*({"text": text} for text in TEXTS)))
    documents = list(read_documents(path))
    assert [document.text for document in documents] == TEXTS
    assert [document.id for document in documents] == [f"{name}:{number}" for number in (1, 2, 3, 4)]
    assert {document.source for document in documents} == {name}


def test_fields_of_a_record_are_kept(tmp_path: Path) -> None:
    record = {"id": "x", "text": "t", "source": "s", "lang": "zh", "licence": "MIT", "other": [1]}
    (document,) = read_documents(write(tmp_path / "a.jsonl", json_lines(record)))
    assert (document.id, document.source, document.lang, document.licence) == ("x", "s", "zh", "MIT")


def test_several_zstd_frames_are_read_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    frames = [zstandard.ZstdCompressor().compress(json_lines({"text": text * 5000})) for text in TEXTS]
    path.write_bytes(b"".join(frames))
    assert [document.text for document in read_documents(path)] == [text * 5000 for text in TEXTS]


def test_parquet_is_read_by_row_group(tmp_path: Path) -> None:
    table = pyarrow.table({"text": TEXTS, "id": ["a", "b", None, "d"], "unused": [1, 2, 3, 4]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    documents = list(read_documents(tmp_path / "a.parquet"))
    assert [document.text for document in documents] == TEXTS
    assert [document.id for document in documents] == ["a", "b", "a.parquet:3", "d"]


def test_a_folder_is_read_in_sorted_order_with_relative_names(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", b"\xef\xbb\xbfplain\ntext")
    write(tmp_path / "a" / "z.jsonl", json_lines({"text": "first"}))
    write(tmp_path / ".hidden.txt", b"no")
    write(tmp_path / "README.md", b"no")
    documents = list(read_documents([tmp_path]))
    assert [(d.id, d.text) for d in documents] == [("a/z.jsonl:1", "first"), ("b.txt:1", "plain\ntext")]


GOOD = b'{"text": "good"}\n'
WRONG_LINES = {
    "not JSON": b'{"text": "cut\n',
    "not UTF-8": b'{"text": "\xff\xfe"}\n',
    "not an object": b'["text"]\n',
    "no text": b'{"id": "x"}\n',
    "text is not a string": b'{"text": 5}\n',
    "id is not a string": b'{"text": "t", "id": {}}\n',
    "broken Unicode": b'{"text": "\\ud800"}\n',
    **{
        f"broken Unicode in {key}": b'{"text": "t", "%s": "\\ud800"}\n' % key.encode()
        for key in ("id", "source", "lang", "licence", "domain")
    },
}


@pytest.mark.parametrize("wrong", WRONG_LINES)
def test_a_wrong_line_is_refused_by_file_and_line_or_skipped_and_counted(tmp_path: Path, wrong: str) -> None:
    reason = wrong.split(" in ")[0]
    path = write(tmp_path / "a.jsonl", GOOD + b"\n" + WRONG_LINES[wrong] + GOOD)
    with pytest.raises(StemmaError, match=r"a\.jsonl, line 3: "):
        list(read_documents(path))
    bad = BadRecords()
    assert [document.id for document in read_documents(path, "skip", bad)] == ["a.jsonl:1", "a.jsonl:4"]
    assert dict(bad.reasons) == {reason: 1}
    assert "a.jsonl, line 3" in bad.examples[0]


def test_deeply_nested_json_is_a_bad_line_and_not_a_crash(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text": ' + b"[" * 200_000 + b"\n")
    with pytest.raises(StemmaError, match=r"line 1: is not valid JSON"):
        list(read_documents(path))


def test_a_line_beyond_the_limit_is_named_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, 50)
    path = write(tmp_path / "a.jsonl", GOOD + json_lines({"text": "x" * 500}) + GOOD)
    with pytest.raises(StemmaError, match=r"line 2: is longer than 50 bytes"):
        list(read_documents(path))
    bad = BadRecords()
    assert [document.id for document in read_documents(path, "skip", bad)] == ["a.jsonl:1", "a.jsonl:3"]
    assert bad.count == 1


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 1 << 18)
    path = write(tmp_path / "a.jsonl.zst", b"x" * (1 << 25))
    tracemalloc.start()
    assert list(read_documents(path, "skip")) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24


def test_a_text_file_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 50)
    with pytest.raises(StemmaError, match=r"a\.txt: is larger than 50 bytes"):
        list(read_documents(write(tmp_path / "a.txt", b"x" * 51)))


def test_a_text_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match=r"a\.txt, line 3: is not UTF-8"):
        list(read_documents(write(tmp_path / "a.txt", b"one\ntwo\n\xff")))


@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.jsonl.gz"])
@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_archive_is_refused_or_counted(tmp_path: Path, name: str, damage: str) -> None:
    records = [{"text": f"{number} {hash_text(number)}"} for number in range(2000)]
    path = write(tmp_path / name, json_lines(*records))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    path.write_bytes(
        data[:middle] if damage == "truncated" else data[:middle] + b"\x00" * 64 + data[middle + 64 :]
    )
    with pytest.raises(StemmaError, match=rf"{name}, line \d+: "):
        list(read_documents(path))
    bad = BadRecords()
    kept = list(read_documents(path, "skip", bad))
    assert len(kept) < 2000
    assert bad.count


def hash_text(number: int) -> str:
    return str(pow(7, number + 100, 10**60 + 7))


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:-20])
    with pytest.raises(StemmaError, match=r"a\.parquet"):
        list(read_documents(tmp_path / "a.parquet"))


def test_a_parquet_file_without_text_is_refused_and_a_null_text_names_its_row(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"body": TEXTS}), tmp_path / "a.parquet")
    with pytest.raises(StemmaError, match="has no column 'text'"):
        list(read_documents(tmp_path / "a.parquet"))
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None]}), tmp_path / "b.parquet")
    with pytest.raises(StemmaError, match=r"b\.parquet, row 2: 'text' is null"):
        list(read_documents(tmp_path / "b.parquet"))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ('{"text": null}', "line 1: 'text' is null"),
        ('{"id": "a"}', "line 1: has no field 'text'"),
        ('{"text": 5}', "'text' is a number, expected a string"),
        ('{"text": "t", "source": 0.5}', "'source' is a number, expected a string"),
        ('{"text": "t", "lang": true}', "'lang' is true or false, expected a string"),
        ('{"text": ["t"]}', "'text' is a list, expected a string"),
        ('["t"]', "is a list, expected an object with 'text'"),
        ('"t"', "is a string, expected an object with 'text'"),
        ("null", "is null, expected an object with 'text'"),
    ],
)
def test_what_a_value_is_instead_is_said_in_words(tmp_path: Path, record: str, words: str) -> None:
    (tmp_path / "a.jsonl").write_text(record + "\n")
    with pytest.raises(StemmaError, match=words):
        list(read_documents(tmp_path / "a.jsonl"))


def test_a_column_of_bytes_is_called_so(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": [b"a"]}), tmp_path / "a.parquet")
    with pytest.raises(StemmaError, match="row 1: 'text' is bytes, expected a string"):
        list(read_documents(tmp_path / "a.parquet"))


def test_paths_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, words in ((tmp_path / "no.jsonl", "does not exist"), (tmp_path / "empty", "holds no file")):
        with pytest.raises(StemmaError, match=words):
            list(read_documents(path))
    with pytest.raises(StemmaError, match="is not a kind that can be read"):
        list(read_documents(write(tmp_path / "a.docx", b"x")))


def test_raw_records_come_with_their_place(tmp_path: Path) -> None:
    path = write(
        tmp_path / "chat.jsonl", json_lines({"messages": [1]}) + b"\n" + json_lines({"messages": []})
    )
    assert list(read_records(path)) == [
        (f"{path}, line 1", {"messages": [1]}),
        (f"{path}, line 3", {"messages": []}),
    ]
    with pytest.raises(StemmaError, match="is not JSON Lines"):
        list(read_records(write(tmp_path / "a.txt", b"x")))
