"""The HTML pages of a web archive (WARC, ISO 28500), record by record.

Headers are read by warcio, chunked bodies too; lengths, limits and damage are handled here, so that one record at most is in
memory (MAX_PAGE_BYTES, twice while it is inflated) whatever a file claims. A record that does not follow the format is
named by its number and the reading goes on at the next line that begins one.

A page is a `response` with status 200, or a `resource`, whose media type is HTML. The other records are no pages and
are counted by kind.
"""

import io
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from stemma.corpus.files import open_bytes
from stemma.corpus.html import MAX_PAGE_BYTES, decode_html

_MAX_HEADER_BYTES = 1 << 18
_MAX_LINE_BYTES = 1 << 16
_DISCARD_BYTES = 1 << 20
_HTML = ("text/html", "application/xhtml+xml")
_UNREADABLE = (EOFError, OSError, zlib.error)


class WarcPage(NamedTuple):
    """One page as it was served, its transfer and content encodings undone."""

    number: int
    """Of the record in its file, from 1, records of all types counted."""
    url: str
    content_type: str
    """The header, with the charset where the server named one."""
    body: bytes

    @property
    def html(self) -> str:
        """The characters of the page; see `decode_html`."""
        return decode_html(self.body, self.content_type)


class BadWarcRecord(NamedTuple):
    """A record that cannot be used: a short reason to count by, and a sentence that names neither file nor number."""

    number: int
    reason: str
    text: str


class _MalformedError(ValueError):
    pass


def read_warc(path: Path, others: Counter[str] | None = None) -> Iterator[WarcPage | BadWarcRecord]:
    """Stream the pages of a .warc, .warc.gz or .warc.zst file, and in their places the records that cannot be used.

    Records that are no pages are counted in `others`: by WARC type, by HTTP status, and as "not HTML". Raises StemmaError
    when the file cannot be opened; one that breaks off yields a last `BadWarcRecord`, "damaged file".
    """
    others = Counter() if others is None else others
    with open_bytes(path) as file:
        stream = _Stream(file)
        number = 0
        while True:
            number += 1
            try:
                headers = stream.next_headers()
                if headers is None:
                    return
                found = _page(number, headers, stream, others)
            except _MalformedError as error:
                stream.lost = True
                found = BadWarcRecord(number, "malformed record", str(error))
            except _UNREADABLE as error:
                text = f"cannot be read ({error}); the file is truncated or damaged"
                yield BadWarcRecord(number, "damaged file", text)
                return
            if found is not None:
                yield found


class _Stream:
    """The bytes of an archive; lines and header blocks have a limit, for warcio reads them without one."""

    def __init__(self, file: IO[bytes]) -> None:
        from warcio.recordloader import ArcWarcRecordLoader
        from warcio.statusandheaders import StatusAndHeadersParser

        self.lost = False
        self._file = file
        self._room = _MAX_HEADER_BYTES
        self._parser = StatusAndHeadersParser(ArcWarcRecordLoader.WARC_TYPES, verify=False)

    def next_headers(self) -> Any | None:
        """The headers of the next record, None at the end. Looks for its first line when the place was lost."""
        while True:
            line = self._file.readline(_MAX_LINE_BYTES)
            if not line:
                return None
            if line.startswith(b"WARC/"):
                break
            if line.strip() and not self.lost:
                if not line.endswith(b"\n") and len(line) < _MAX_LINE_BYTES:
                    raise EOFError("it ends inside the first line of a record")
                raise _MalformedError(f"does not begin with WARC/1.0 or WARC/1.1 but with {line[:40]!r}")
        self.lost = False
        self._room = _MAX_HEADER_BYTES
        return self._parser.parse(self, line)

    def readline(self) -> bytes:
        """A line of a header. Raises EOFError: a header ends with an empty line."""
        line = self._file.readline(_MAX_LINE_BYTES)
        if not line:
            raise EOFError("it ends inside the headers of a record")
        self._room -= len(line)
        if self._room < 0 or len(line) == _MAX_LINE_BYTES:
            raise _MalformedError(f"has headers of more than {_MAX_HEADER_BYTES} bytes")
        return line

    def read(self, num_bytes: int) -> bytes:
        """Exactly `num_bytes` bytes. Raises EOFError."""
        data = self._file.read(num_bytes)
        if len(data) < num_bytes:
            raise EOFError(f"it ends {num_bytes - len(data)} bytes too early")
        return data

    def discard(self, num_bytes: int) -> None:
        """Pass over bytes without holding them."""
        while num_bytes > 0:
            num_bytes -= len(self.read(min(num_bytes, _DISCARD_BYTES)))


def _page(
    number: int, headers: Any, stream: _Stream, others: Counter[str]
) -> WarcPage | BadWarcRecord | None:
    length = (headers.get_header("Content-Length") or "").strip()
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        raise _MalformedError(f"has the Content-Length {length[:40]!r}, which is no number of bytes")
    size = int(length)
    kind = (headers.get_header("WARC-Type") or "").strip().lower()
    url = (headers.get_header("WARC-Target-URI") or "").strip().removeprefix("<").removesuffix(">")
    if kind not in ("response", "resource") or url.startswith(("dns:", "whois:")):
        others[kind[:20] or "no type"] += 1
        stream.discard(size)
        return None
    block = stream.read(min(size, MAX_PAGE_BYTES + _MAX_HEADER_BYTES))
    stream.discard(size - len(block))
    content_type = headers.get_header("Content-Type") or ""
    http, body = _http(block) if kind == "response" else (None, block)
    if http is not None:
        status = http.get_statuscode()
        if status != "200":
            others[f"status {status}" if len(status) == 3 and status.isdigit() else "no status"] += 1
            return None
        stated = http.get_header("Content-Type") or headers.get_header("WARC-Identified-Payload-Type")
        content_type = stated or ""
    if content_type.split(";")[0].strip().lower() not in _HTML:
        others["not HTML"] += 1
        return None
    try:
        body = body if http is None else _plain(body, http)
    except ValueError as error:
        return BadWarcRecord(number, "damaged page", str(error))
    if len(body) > MAX_PAGE_BYTES:
        text = f"is a page of more than {MAX_PAGE_BYTES} bytes; its text is not extracted"
        return BadWarcRecord(number, "page too large", text)
    return WarcPage(number, url, content_type, body)


def _http(block: bytes) -> tuple[Any, bytes]:
    """The headers and the body of an HTTP response."""
    from warcio.recordloader import ArcWarcRecordLoader
    from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser

    stream = io.BytesIO(block[:_MAX_HEADER_BYTES])
    try:
        headers = StatusAndHeadersParser(ArcWarcRecordLoader.HTTP_TYPES, verify=False).parse(stream)
    except EOFError:
        headers = StatusAndHeaders("", [])
    return headers, block[stream.tell() :]


def _plain(body: bytes, http: Any) -> bytes:
    """The body without its transfer and content encodings, cut off above MAX_PAGE_BYTES. Raises ValueError."""
    from warcio.bufferedreaders import ChunkedDataReader

    if "chunked" in (http.get_header("Transfer-Encoding") or "").lower():
        body = ChunkedDataReader(io.BytesIO(body)).read()
    encoding = (http.get_header("Content-Encoding") or "identity").strip().lower()
    if encoding in ("identity", "none", "utf-8") or body.lstrip()[:1] in (b"<", b""):
        return body  # many crawlers undo the encoding and leave the header
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"has the content encoding {encoding[:20]!r}, which is not known here")
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib; deflate without a header
        inflater = zlib.decompressobj(window)
        try:
            plain = inflater.decompress(body, MAX_PAGE_BYTES + 1)
        except zlib.error:
            continue
        if inflater.eof or len(plain) > MAX_PAGE_BYTES:
            return plain
    raise ValueError(f"is damaged or cut short: its content encoding {encoding} cannot be undone")
