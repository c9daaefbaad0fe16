"""The main text of a web page, and what the page says of itself: title, date, address, licence, language.

Extraction is trafilatura's (Barbaresi 2021) in precision mode, from a tree parsed here: one parse, no look at the network,
no clock. Every page costs a bounded time and memory, because what is quadratic in the parser or the extractor has a
limit on its size (the table below); there is no time limit, which would make results depend on the machine's load. A
page beyond a limit, or without main text, raises a `PageError` that says so.

    limit           what it bounds
    MAX_PAGE_BYTES  memory: a tree takes about 15 bytes per byte of dense markup
    MAX_ATTRIBUTES  the parser compares every attribute of a tag with the ones before it
    256 levels      nesting, libxml2's own limit; without it the rest of such a page would be lost unnoticed
    MAX_ELEMENTS    time of the extractor, up to 0.2 ms each
    MAX_INLINE      links and emphasis in one paragraph, quadratic in the extractor
"""

import functools
import logging
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from stemma.errors import StemmaError

MAX_PAGE_BYTES = 8 * 1024 * 1024
MAX_ELEMENTS = 50_000
MAX_INLINE = 4_000
MAX_ATTRIBUTES = 5_000

_CHARSET_WINDOW = 4096  # bytes searched for a declaration
_DAMAGE = 0.01  # share of the bytes beyond ASCII that may be wrong in the charset a page is read in
_CHINESE = 0.02  # share of the characters beyond ASCII that are the commonest of Chinese
_LONGEST_VALUE = 300  # characters of a title or address


class Page(NamedTuple):
    """The main text of a page and what it says of itself, None where it says nothing."""

    text: str
    title: str | None = None
    date: str | None = None
    """When it was published, as YYYY-MM-DD."""
    url: str | None = None
    """Its canonical address."""
    licence: str | None = None
    """An SPDX identifier for Creative Commons licences, else the address the page links as its licence."""
    lang: str | None = None
    """The `lang` attribute of the page, lower case: a template's default as often as the language of the text."""


class PageError(StemmaError):
    """A page that gives no document: a short reason to count by, and the sentence, which names no file."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def extract(html: str) -> Page:
    """The main text and the metadata of one page. Raises PageError for a page beyond the limits or without main text."""
    tree = _parse(html)
    strip, bare_extraction = _extractor()
    page = _metadata(tree)
    strip(tree, "script", "style", with_tail=False)  # after the metadata, some of which is in a script
    try:
        found = bare_extraction(tree, favor_precision=True, include_comments=False)
    except Exception as error:  # noqa: BLE001 - what a hostile page provokes in there costs that page only
        raise PageError(
            "extraction failed", f"cannot be extracted ({type(error).__name__}: {str(error)[:200]})"
        ) from None
    text = found.text.strip() if found is not None and found.text else ""
    if not text:
        raise PageError("no main text", "has no main text")
    return page._replace(text=text)


def decode_html(data: bytes, content_type: str = "") -> str:
    """The characters of a page's bytes; every byte that is wrong becomes U+FFFD.

    Looked at in this order: a byte order mark; the charset of the HTTP header `content_type`, then of the page's own
    declaration; UTF-8; GB18030 where that gives Chinese; Windows-1252, as browsers read what is called Latin-1. A
    multi-byte charset is believed when its bytes are right. One byte per character fits any bytes, so a declaration of
    that kind is believed only when the bytes are not UTF-8, and Latin-1, which servers say by default, only when they
    are not Chinese either.
    """
    for mark, codec in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace")
    high_bytes = len(data.translate(None, _ASCII))
    declared = [_HEADER_CODECS.get(label, "") for label in _labels(_IN_HEADER, content_type.encode())]
    declared += [_CODECS.get(label, "") for label in _labels(_IN_PAGE, data[:_CHARSET_WINDOW])]
    for codec in (*(codec for codec in declared if codec in _MULTI_BYTE), "utf-8"):
        text = _decode(data, codec, high_bytes)
        if text is not None:
            return text
    single = next((codec for codec in declared if codec and codec not in _MULTI_BYTE), _LATIN)
    chinese = _decode(data, "gb18030", high_bytes) if single == _LATIN else None
    if chinese is not None and _is_chinese(chinese):
        return chinese
    return data.decode(single, "replace")


def _parse(html: str) -> Any:
    from lxml.etree import ParserError, XMLSyntaxError
    from lxml.html import HTMLParser, document_fromstring

    data = html.encode("utf-8", "replace").translate(None, _CONTROLS)
    for noncharacter in _NONCHARACTERS:
        data = data.replace(noncharacter, b"")
    if len(data) > MAX_PAGE_BYTES:
        raise PageError(
            "page too large", f"is a page of more than {MAX_PAGE_BYTES} bytes; its text is not extracted"
        )
    if _MANY_ATTRIBUTES.search(data):
        raise PageError("page too complex", f"holds a tag with more than {MAX_ATTRIBUTES} attributes")
    if b"&#" in data:
        data = _CONTROL_REFERENCE.sub(b"", data)
    parser = HTMLParser(encoding="utf-8", collect_ids=False, remove_comments=True, remove_pis=True)
    try:
        tree = document_fromstring(data, parser=parser)
    except (ParserError, XMLSyntaxError, ValueError):
        raise PageError("no main text", "has no main text: it holds no markup and no text") from None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise PageError("page too complex", "holds elements nested more than 250 levels deep")
    if tree.xpath("count(//*)") > MAX_ELEMENTS:
        raise PageError("page too complex", f"holds more than {MAX_ELEMENTS} elements")
    if tree.xpath(f"boolean(//p[count(.//*[not(self::br)]) > {MAX_INLINE}])"):
        raise PageError("page too complex", f"holds a paragraph of more than {MAX_INLINE} elements")
    return tree


@functools.cache
def _extractor() -> tuple[Callable[..., None], Callable[..., Any]]:
    from lxml.etree import strip_elements
    from trafilatura import bare_extraction

    # A page without text is reported here, not there.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    return strip_elements, bare_extraction


# -- what a page says of itself


def _metadata(tree: Any) -> Page:
    meta = _meta(tree)
    linked = "\n".join(tree.xpath('//script[@type="application/ld+json"]/text()'))
    title = meta.get("og:title") or " ".join(tree.xpath("string(//title)").split())
    canonical = tree.xpath('string(//link[@rel="canonical"]/@href)') or meta.get("og:url", "")
    return Page(
        text="",
        title=title[:_LONGEST_VALUE] or None,
        date=_date(meta, linked),
        url=_address(canonical),
        licence=_licence(tree, meta, linked),
        lang=tree.get("lang", "").strip().lower()[:35] or None,
    )


def _meta(tree: Any) -> dict[str, str]:
    """The first value of each name or property of the `meta` elements."""
    values: dict[str, str] = {}
    for element in tree.iter("meta"):
        name = element.get("property") or element.get("name") or element.get("itemprop") or ""
        content = " ".join(element.get("content", "").split())
        if name and content:
            values.setdefault(name.lower(), content)
    return values


def _date(meta: dict[str, str], linked: str) -> str | None:
    stated = [meta[name] for name in _DATES if name in meta] + _DATE_LINKED.findall(linked)[:1]
    return next((match.group() for value in stated if (match := _ISO_DATE.match(value))), None)


def _licence(tree: Any, meta: dict[str, str], linked: str) -> str | None:
    """The one licence a page puts itself under: where it names several, none is taken.

    A licence under a picture is the picture's, so what stands in a figure does not count; nor does a mere link to a
    Creative Commons licence, unless it stands in a footer.
    """
    for found in (
        tree.xpath('//*[contains(concat(" ", @rel, " "), " license ")][not(ancestor::figure)]/@href'),
        _LICENCE_LINKED.findall(linked),
        [meta[name] for name in _LICENCES if name in meta],
        tree.xpath('//footer//a/@href[contains(., "creativecommons.org/")]'),
    ):
        names = {name for value in found if (name := _licence_name(value))}
        if names:
            return names.pop() if len(names) == 1 else None
    return None


def _licence_name(value: str) -> str | None:
    match = _CREATIVE_COMMONS.search(value)
    if match is None:
        return _address(value)
    kind, version = match.group(1).lower(), match.group(2)
    name = {"zero": "CC0", "mark": "CC-PDM"}.get(kind, f"CC-{kind.upper()}")
    return f"{name}-{version}" if version else name


def _address(value: str) -> str | None:
    value = value.strip()
    return value if _WEB_ADDRESS.fullmatch(value) else None


_DATES = (
    "article:published_time",
    "datepublished",
    "og:article:published_time",
    "dc.date.issued",
    "dcterms.date",
    "citation_publication_date",
    "date",
)
_LICENCES = ("dcterms.license", "dc.rights.license", "license", "og:license")
_ISO_DATE = re.compile(r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)")
_DATE_LINKED = re.compile(r'"datePublished"\s{0,9}:\s{0,9}"([^"]{10,40})"')
_LICENCE_LINKED = re.compile(r'"license"\s{0,9}:\s{0,9}"([^"]{1,300})"')
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org\\?/(?:licenses|publicdomain)\\?/(by(?:-nc)?(?:-nd|-sa)?|zero|mark)(?:\\?/(\d\.\d))?",
    re.IGNORECASE,
)
_WEB_ADDRESS = re.compile(rf"https?://[^\s\"<>]{{1,{_LONGEST_VALUE}}}", re.IGNORECASE)


# -- bytes to characters, and what is unsafe in them


def _decode(data: bytes, codec: str, high_bytes: int) -> str | None:
    """The text, if nearly every byte is right in this charset: one broken character does not make a page another one's."""
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        text = data.decode(codec, "replace")
    return text if text.count("\ufffd") <= _DAMAGE * high_bytes else None


def _is_chinese(text: str) -> bool:
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return sum(map(text.count, _COMMON_CHINESE)) >= _CHINESE * beyond_ascii


def _labels(pattern: re.Pattern[bytes], data: bytes) -> list[str]:
    return [label.decode("ascii", "replace").lower() for label in pattern.findall(data)[:1]]


def _named(codec: str, labels: str) -> dict[str, str]:
    return dict.fromkeys(labels.split(), codec)


_LATIN = "cp1252"
_MULTI_BYTE = frozenset(
    ("gb18030", "big5hkscs", "cp932", "euc_jp", "iso2022_jp", "cp949", "utf-8", "utf-16-le", "utf-16-be")
)
# Labels of the Encoding Standard (WHATWG), by the codec that is nearest to what it prescribes.
_CODECS: dict[str, str] = {
    **_named("gb18030", "gb2312 gb_2312-80 gbk x-gbk gb18030 chinese csgb2312 iso-ir-58"),
    **_named("big5hkscs", "big5 big5-hkscs cn-big5 csbig5 x-x-big5"),
    **_named("cp932", "shift_jis shift-jis sjis x-sjis ms_kanji windows-31j csshiftjis ms932"),
    **_named("euc_jp", "euc-jp x-euc-jp cseucpkdfmtjapanese"),
    **_named("iso2022_jp", "iso-2022-jp csiso2022jp"),
    **_named("cp949", "euc-kr ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 korean windows-949 cseuckr"),
    **_named(_LATIN, "iso-8859-1 iso8859-1 latin1 l1 ascii us-ascii windows-1252 cp1252 x-cp1252"),
    **_named("cp1254", "iso-8859-9 iso8859-9 latin5 windows-1254"),
    **_named("cp874", "windows-874 tis-620 iso-8859-11"),
    **_named("koi8_r", "koi8-r koi8 koi"),
    **_named("koi8_u", "koi8-u koi8-ru"),
    **_named("mac_roman", "macintosh mac x-mac-roman"),
    **_named("cp866", "ibm866 cp866 866"),
    **_named("utf-8", "utf-8 utf8 utf-16 utf-16le utf-16be"),  # a page that can say utf-16 in ASCII is not
    **{f"windows-{n}": f"cp{n}" for n in (1250, 1251, 1253, 1255, 1256, 1257, 1258)},
    **{f"iso-8859-{n}": f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
}
_HEADER_CODECS = {**_CODECS, **_named("utf-16-le", "utf-16 utf-16le"), "utf-16be": "utf-16-be"}
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_COMMON_CHINESE = "\uff0c\u3002\u3001\u7684\u4e00\u662f\u5728\u6709\u4e0d\u4e86\u4eba"
_IN_HEADER = re.compile(rb"""charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)
_IN_PAGE = re.compile(
    rb"""<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*["']?\s*([^\s"'/>;]+)""", re.IGNORECASE
)
_ASCII = bytes(range(0x80))


def _tag_with_attributes(count: int) -> re.Pattern[bytes]:
    value = rb"""(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)"""
    attribute = rb"[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+" + value + rb"?+)?+"
    return re.compile(rb"<[a-zA-Z][^\s/>]*+(?:" + attribute + rb"){%d}" % count)


_MANY_ATTRIBUTES = _tag_with_attributes(MAX_ATTRIBUTES)
# No characters of XML: the extractor gives up on a page whose text holds one.
_CONTROLS = bytes(code for code in range(0x20) if code not in b"\t\n\r")
_NONCHARACTERS = ("\ufffe".encode(), "\uffff".encode())
_CONTROL_REFERENCE = re.compile(
    rb"&#(?:0*+(?:[0-8]|1[124-9]|2\d|3[01]|6553[45])(?!\d)|x0*+(?:[0-8bcef]|1[\da-f]|fff[ef])(?![\da-f]));?",
    re.IGNORECASE,
)
