"""Telephone numbers: Chinese mobiles and landlines, and those of the North American plan.

A landline is a trunk 0, an area code of two or three digits (010 and 02x have eight digits after them, the others seven
or eight) and perhaps an extension. In the North American plan area and exchange begin with 2 to 9. Where nothing but
digits is written, a label must introduce what could be any other number.
"""

import re
from collections.abc import Iterator

from stemma.corpus.personal.border import OF_A_THING, is_labelled, joins_number, label, stands_alone
from stemma.corpus.personal.span import Found, Window

_LABEL = label(
    r"电话|座机|固话|手机|传真|热线|致电|拨打|拨|联系|联系方式|微信|总机|热线|"
    r"\btel|phone|mobile|\bcell|\bcall|\bcalled|\bfax|\btext|\bcontact|\bdial|\bring|\breach|whatsapp|\bsms"
)
_MOBILE = re.compile(
    r"1[3-9][0-9](?:[0-9]{8}(?![0-9])|(?P<s>[ .-])[0-9]{4}(?P=s)[0-9]{4}|[ -][0-9]{8}"
    r"|[0-9][ -][0-9]{3}[ -][0-9]{4}|[0-9]{4}[ -][0-9]{4})(?![0-9])"
)
_CHINA = re.compile(r"(?:\((?:\+|00)?86\)|(?:\+|(?<![0-9])00|(?<![0-9]))86)[ -]{0,2}\Z")
_EXTENSION = r"(?:(?: ?(?:转|分机号?|ext\.?|x)[ :：]?|-)[0-9]{1,6}(?![0-9]))?"
_AREA = r"(?:10|2[0-9]|[3-9][0-9]{2})"
_LANDLINE = re.compile(
    rf"(?P<abroad>(?:\((?:\+|00)86\)|(?:\+|00)86)[ -]{{0,2}})?(?P<open>\()?(?P<trunk>0)?(?P<area>{_AREA})(?P<gap>\)[ -]?|[ ]?-[ ]?|[ ]|)"
    rf"(?P<local>[2-9][0-9]{{2,3}}[ -]?[0-9]{{4}})(?![0-9]){_EXTENSION}",
    re.IGNORECASE,
)
_AMERICAN = re.compile(
    r"(?P<abroad>(?:\+1|1)[ .-]?)?(?P<area>\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[ .-]?)(?P<exchange>[2-9][0-9]{2}[ .-]?)"
    r"[0-9]{4}(?![0-9])(?: ?(?:ext\.?|x)[ :]?[0-9]{1,6}(?![0-9]))?",
    re.IGNORECASE,
)
_URL = re.compile(r"(?:://|www\.)[!-~]*[/?&=._-]\Z")
_PLUS = re.compile(r"[0-9A-Za-z)\]]\s?\+")  # a sum, not the sign of a country code


def phones(window: Window) -> Iterator[Found]:
    """The telephone numbers of a cluster of digits."""
    found = [*_mobiles(window), *_others(window)]
    if found and not is_labelled(OF_A_THING, window.text, window.first):
        yield from (Found(start, end, "PHONE") for start, end in found)


def _mobiles(window: Window) -> Iterator[tuple[int, int]]:
    text = window.text
    for match in _MOBILE.finditer(text, window.first, window.last):
        code = _CHINA.search(text, max(0, match.start() - 8), match.start())
        starts = (code.start(), match.start()) if code else (match.start(),)
        start = next((start for start in starts if stands_alone(text, start, match.end())), None)
        if start is not None and not _is_no_mobile(text, match, start):
            yield start, match.end()


def _others(window: Window) -> Iterator[tuple[int, int]]:
    first = max(0, window.first - 8)
    for pattern, start_of in ((_LANDLINE, _landline_start), (_AMERICAN, _american_start)):
        for match in pattern.finditer(window.text, first):
            start = start_of(window.text, match) if match.start() < window.last else None
            if start is not None:
                yield start, match.end()


def _is_no_mobile(text: str, match: re.Match[str], start: int) -> bool:
    spaced = not match[0].isdecimal()
    return (spaced and joins_number(text, start, match.end(), " -.")) or _in_url(text, start)


def _in_url(text: str, start: int) -> bool:
    return _URL.search(text, max(0, start - 40), start) is not None and not is_labelled(_LABEL, text, start)


def _landline_start(text: str, match: re.Match[str]) -> int | None:
    """Where the number begins, None if it is none; a parenthesis around all of it is not of it."""
    start, end = match.span()
    closed = ")" in match["gap"]
    if match["open"] and not closed and not match["abroad"]:
        start += 1
    elif bool(match["open"]) != closed:
        return None
    digits = len(match["local"].replace(" ", "").replace("-", ""))
    if (match["trunk"] is None and match["abroad"] is None) or (digits == 7 and len(match["area"]) == 2):
        return None
    if not stands_alone(text, start, end) or joins_number(text, start, end, "-" if match["gap"] else " -"):
        return None
    if match["gap"] == " " and joins_number(text, start, end, " "):
        return None
    known = match["gap"] or match["abroad"] or is_labelled(_LABEL, text, start)
    return start if known and not _in_url(text, start) else None


def _american_start(text: str, match: re.Match[str]) -> int | None:
    start, end = match.span()
    area, separator = match["area"], match["exchange"][3:]
    plain = area.isdecimal() or not separator
    if area[:3] == "400" and match["abroad"] is None:
        return None  # a Chinese service number
    if not stands_alone(text, start, end) or joins_number(text, start, end, "-."):
        return None
    if separator == " " and joins_number(text, start, end, " ") and not match["abroad"] and "(" not in area:
        return None
    if plain and not (match["abroad"] or "").startswith("+") and not is_labelled(_LABEL, text, start):
        return None
    is_sum = (match["abroad"] or "").startswith("+") and _PLUS.match(text, max(0, start - 1))
    return None if is_sum else start
