"""Web archives: pages come out with their number, address and characters; damage is named and survived."""

import gzip
import io
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from stemma.corpus import warc
from stemma.corpus.warc import BadWarcRecord, WarcPage, read_warc
from stemma.errors import StemmaError

BODY = "<html><body><p>港口 harbour</p></body></html>"


def write_archive(path: Path) -> Path:
    """A warcinfo, a request, and nine responses and resources, three of them pages, by the reference writer."""
    archive = io.BytesIO()
    writer = WARCWriter(archive, gzip=path.name.endswith(".gz"))
    writer.write_record(writer.create_warcinfo_record("a.warc", {"software": "none"}))

    def response(
        url: str, body: bytes, status: str = "200 OK", kind: str = "text/html", **headers: str
    ) -> None:
        fields = [
            ("Content-Type", kind),
            *((name.replace("_", "-"), value) for name, value in headers.items()),
        ]
        http = StatusAndHeaders(status, fields, protocol="HTTP/1.1")
        writer.write_record(writer.create_warc_record(url, "response", io.BytesIO(body), http_headers=http))

    writer.write_record(
        writer.create_warc_record(
            "https://a.example/",
            "request",
            io.BytesIO(b""),
            http_headers=StatusAndHeaders("GET / HTTP/1.1", [], is_http_request=True),
        )
    )
    response("https://a.example/", BODY.encode())
    response("https://a.example/missing", BODY.encode(), status="404 Not Found")
    response("https://a.example/picture", b"\x89PNG", kind="image/png")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (b"<html>", b"chunked")) + b"0\r\n\r\n"
    response("https://a.example/chunked", chunks, Transfer_Encoding="chunked")
    response("https://a.example/gbk", BODY.encode("gbk"), kind="Text/HTML; charset=gbk")
    response("https://a.example/gzip", gzip.compress(BODY.encode()), Content_Encoding="gzip")
    response("https://a.example/deflate", zlib.compress(BODY.encode())[2:-4], Content_Encoding="deflate")
    response("https://a.example/undone", BODY.encode(), Content_Encoding="br")
    resource = io.BytesIO(BODY.encode())
    record = writer.create_warc_record("file:///a.html", "resource", resource, warc_content_type="text/html")
    writer.write_record(record)
    data = archive.getvalue()
    path.write_bytes(zstandard.compress(data) if path.name.endswith(".zst") else data)
    return path


def record(fields: dict[str, object], block: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{lines}\r\n".encode() + block + b"\r\n\r\n"


def response(body: bytes, **headers: object) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"WARC-Type": "response", "WARC-Target-URI": "http://a.example/", "Content-Length": len(block)}
    return record({**fields, **named}, block)


def read(path: Path, data: bytes) -> list[WarcPage | BadWarcRecord]:
    path.write_bytes(data)
    return list(read_warc(path))


def outcome(found: list[WarcPage | BadWarcRecord]) -> list[Any]:
    return [(x.number, x.reason if isinstance(x, BadWarcRecord) else x.body) for x in found]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
def test_pages_are_found_and_everything_else_is_counted(tmp_path: Path, name: str) -> None:
    others: Counter[str] = Counter()
    found = list(read_warc(write_archive(tmp_path / name), others))
    pages = [page for page in found if isinstance(page, WarcPage)]
    assert pages == found
    assert [(page.number, page.url.rpartition("/")[2]) for page in pages] == [
        (3, ""),
        (6, "chunked"),
        (7, "gbk"),
        (8, "gzip"),
        (9, "deflate"),
        (10, "undone"),
        (11, "a.html"),
    ]
    assert [page.html for page in pages] == [BODY, "<html>chunked", BODY, BODY, BODY, BODY, BODY]
    assert others == {"warcinfo": 1, "request": 1, "status 404": 1, "not HTML": 1}
    assert len(found) + others.total() == 11


MALFORMED = {
    "no record": b"this is no record\r\n",
    "no length": record({"WARC-Type": "response"}, b"<html>"),
    "length is no number": response(b"<html>", Content_Length="-7"),
    "length is huge": response(b"<html>", Content_Length="9" * 400),
    "headers without end": b"WARC/1.0\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
    "a header of one line": b"WARC/1.0\r\na: " + b"x" * 1_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("wrong", MALFORMED)
def test_a_malformed_record_is_named_and_the_next_one_is_read(tmp_path: Path, wrong: str) -> None:
    found = read(tmp_path / "a.warc", response(b"one") + MALFORMED[wrong] + response(b"two"))
    assert outcome(found) == [(1, b"one"), (2, "malformed record"), (3, b"two")]


def test_a_length_that_is_too_short_loses_one_record(tmp_path: Path) -> None:
    found = read(tmp_path / "a.warc", response(b"<p>a\nb\nc", Content_Length=50) + response(b"two"))
    assert [number for number, _ in outcome(found)] == [1, 2, 3]
    assert outcome(found)[1:] == [(2, "malformed record"), (3, b"two")]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_an_archive_that_breaks_off_is_damaged(tmp_path: Path, name: str, share: float) -> None:
    data = b"".join(response(str(pow(7, i + 99, 10**60 + 7)).encode() * 5) for i in range(200))
    whole = {"": data, ".gz": gzip.compress(data), ".zst": zstandard.compress(data)}[
        name.removeprefix("a.warc")
    ]
    found = read(tmp_path / name, whole[: int(len(whole) * share)])
    assert all(isinstance(page, WarcPage) for page in found[:-1])
    assert isinstance(found[-1], BadWarcRecord)
    assert found[-1].reason == "damaged file"
    assert len(found) < 200


def test_a_page_above_the_limit_is_named_and_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warc, "MAX_PAGE_BYTES", 1000)
    monkeypatch.setattr(warc, "_MAX_HEADER_BYTES", 1000)
    found = read(tmp_path / "a.warc", response(b"x" * 5000) + response(b"x" * 1001) + response(b"x" * 1000))
    assert outcome(found) == [(1, "page too large"), (2, "page too large"), (3, b"x" * 1000)]


ENCODED = {
    "gzip": (gzip.compress(b"<p>" * 9)[:-9], "damaged page"),
    "deflate": (b"no such stream", "damaged page"),
    "br": (b"\x0b\x02\x80", "damaged page"),
    "x-gzip": (gzip.compress(b"\x00" * 20_000_000), "page too large"),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_a_body_that_cannot_be_decompressed_is_named(tmp_path: Path, encoding: str) -> None:
    body, reason = ENCODED[encoding]
    block = (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: {encoding}\r\n\r\n".encode() + body
    )
    fields = {"WARC-Type": "response", "WARC-Target-URI": "http://a.example/", "Content-Length": len(block)}
    found = read(tmp_path / "a.warc", record(fields, block) + response(b"two"))
    assert outcome(found) == [(1, reason), (2, b"two")]


def test_an_http_response_without_headers_is_no_page(tmp_path: Path) -> None:
    others: Counter[str] = Counter()
    fields = {"WARC-Type": "response", "WARC-Target-URI": "http://a.example/"}
    blocks = [b"", b"\x00\xff\xfe", b"HTTP/1.1 999999\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>"]
    data = b"".join(record({**fields, "Content-Length": len(block)}, block) for block in blocks)
    (tmp_path / "a.warc").write_bytes(data)
    assert list(read_warc(tmp_path / "a.warc", others)) == []
    assert others == {"no status": 3, "not HTML": 1}


def test_an_empty_archive_holds_nothing_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    assert read(tmp_path / "a.warc", b"") == []
    with pytest.raises(StemmaError, match=r"b\.warc: cannot be read"):
        list(read_warc(tmp_path / "b.warc"))
