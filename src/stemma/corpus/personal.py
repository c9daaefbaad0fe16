"""Personal information: found by position and proved, then replaced by a typed placeholder.

E-mail addresses, Chinese mobile numbers, Chinese resident ids (ISO 7064 mod 11-2 check digit and a real birth date),
public IPv4 and IPv6 addresses. A value may directly follow a Han character, so no rule relies on a word border: each
looks at its neighbours. What only looks alike stays: wrong check digits, private addresses, versions, longer numbers.
"""

import datetime
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Type = Literal["EMAIL", "ID_CARD", "PHONE", "IP"]
TYPES: tuple[Type, ...] = ("EMAIL", "ID_CARD", "PHONE", "IP")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Code points [start, end) of the original text."""

    start: int
    end: int
    type: Type


def find_personal(text: str) -> list[Span]:
    """The spans to hide, in order, none overlapping another (e-mail first, then id card, phone, address)."""
    spans: list[Span] = []
    for finder in _FINDERS:
        for span in finder(text):
            if not any(span.start < other.end and other.start < span.end for other in spans):
                spans.append(span)
    return sorted(spans)


def redact(text: str) -> tuple[str, list[Span]]:
    """The text with placeholders such as `<EMAIL>`, and the spans of the original that they replace."""
    spans = find_personal(text)
    parts: list[str] = []
    position = 0
    for span in spans:
        parts += [text[position : span.start], f"<{span.type}>"]
        position = span.end
    return "".join([*parts, text[position:]]), spans


_EMAIL = re.compile(
    r"(?<![A-Za-z0-9])(?<!://)(?P<local>[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_+-])?)"
    r"@(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}(?P<top>[A-Za-z]{2,24}))(?![A-Za-z0-9@])"
)
_LOCAL_CHARACTER = re.compile(r"[A-Za-z0-9._%+-]")
_FILE_ENDINGS = frozenset(["png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js"])  # icon@2x.png


def _emails(text: str) -> Iterator[Span]:
    position = text.find("@")
    while position >= 0:
        match = _email_over(text, position)
        if match and not _is_no_email(match):
            yield Span(match.start(), match.end(), "EMAIL")
        position = text.find("@", position + 1)


def _is_no_email(match: re.Match[str]) -> bool:
    """The user of a repository address, a file such as icon@2x.png, or a piece of a URL's path."""
    between_slashes = (
        match.string[max(0, match.start() - 1) : match.start()]
        == "/"
        == match.string[match.end() : match.end() + 1]
    )
    return match["local"] == "git" or match["top"].lower() in _FILE_ENDINGS or between_slashes


def _email_over(text: str, position: int) -> re.Match[str] | None:
    """The address whose "@" is at `position`."""
    first = position
    while first > 0 and _LOCAL_CHARACTER.match(text, first - 1):
        first -= 1
    starts = (_EMAIL.match(text, start) for start in range(first, position))
    return next((match for match in starts if match and match.end("local") == position), None)


# Patterns start with what they look for, so that the search is quick; neighbours are checked on the few matches.
_ID_CARD = re.compile(r"[1-9][0-9]{5}(?P<birth>[0-9]{8})[0-9]{3}[0-9Xx]")
_PHONE = re.compile(r"1[3-9][0-9](?:[0-9]{8}|-[0-9]{4}-[0-9]{4}| [0-9]{4} [0-9]{4})")
_LEFT_NEIGHBOUR, _RIGHT_NEIGHBOUR = (
    re.compile(r"[0-9A-Za-z_]$|[0-9]\.$"),
    re.compile(r"[0-9A-Za-z_]|\.[0-9]"),
)
_COUNTRY_CODE = re.compile(r"(?:\+|(?<![0-9])00|(?<![0-9]))86[ -]?$")
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def id_card_check(first_seventeen: str) -> str:
    """The check character of a resident id, GB 11643-1999: ISO 7064 mod 11-2."""
    total = sum(int(digit) * weight for digit, weight in zip(first_seventeen, _ID_WEIGHTS, strict=True))
    return "10X98765432"[total % 11]


def _id_cards(text: str) -> Iterator[Span]:
    for match in _ID_CARD.finditer(text):
        value = match[0].upper()
        valid = _is_birth_date(match["birth"]) and id_card_check(value[:17]) == value[17]
        if valid and _stands_alone(text, match.start(), match.end()):
            yield Span(match.start(), match.end(), "ID_CARD")


def _is_birth_date(digits: str) -> bool:
    try:
        return 1900 <= datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year < 2100
    except ValueError:
        return False


def _phones(text: str) -> Iterator[Span]:
    for match in _PHONE.finditer(text):
        code = _COUNTRY_CODE.search(text, max(0, match.start() - 5), match.start())
        starts = (code.start(), match.start()) if code else (match.start(),)
        start = next((start for start in starts if _stands_alone(text, start, match.end())), None)
        if start is not None:
            yield Span(start, match.end(), "PHONE")


def _stands_alone(text: str, start: int, end: int) -> bool:
    """True unless text[start:end] is a piece of a longer number, word or decimal."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return not (_LEFT_NEIGHBOUR.search(before) or _RIGHT_NEIGHBOUR.match(after))


_IPV4_TAIL = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")  # a literal first character: fast to search
_IPV4_HEAD = re.compile(r"[0-9]{1,3}$")
_IPV4_LEFT, _IPV4_RIGHT = (
    re.compile(r"[0-9A-Za-z_]$|[A-Za-z]-$|[0-9A-Za-z]\.$"),
    re.compile(r"[0-9A-Za-z_]|\.[0-9A-Za-z]"),
)
_VERSION_BEFORE = re.compile(
    r"(?:\bv|ver|version|release|sections?|§|版本|版本号)[\s.:：#=是为]*$", re.IGNORECASE
)
_IPV6_HINT = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IPV6 = re.compile(r"(?<![0-9A-Za-z.])(?<!::)(?:[0-9A-Fa-f]{1,4}:{1,2}){1,7}[0-9A-Fa-f]{1,4}(?![0-9A-Za-z:])")
_GROUP_BEFORE = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{1,4}:$")
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")


def _addresses(text: str) -> Iterator[Span]:
    for match in _IPV4_TAIL.finditer(text):
        head = _IPV4_HEAD.search(text, max(0, match.start() - 3), match.start())
        if head is None:
            continue
        start, end = head.start(), match.end()
        before = text[max(0, start - 16) : start]
        alone = not _IPV4_LEFT.search(before) and not _IPV4_RIGHT.match(text, end)
        if alone and _is_public(text[start:end]) and not _VERSION_BEFORE.search(before):
            yield Span(start, end, "IP")
    for match in _IPV6.finditer(text) if _IPV6_HINT.search(text) else ():
        # "host:2408:..." is an address after a label; "1:2408:..." is the tail of a longer row of groups.
        if not _GROUP_BEFORE.search(text, max(0, match.start() - 6), match.start()) and _is_public(match[0]):
            yield Span(match.start(), match.end(), "IP")


def _is_public(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _GLOBAL_IPV6 and address.is_global
    if len(value) == 7:
        return False  # four single digits are a section or a version far more often than an address
    return address.is_global and not address.is_multicast


_FINDERS: tuple[Callable[[str], Iterator[Span]], ...] = (_emails, _id_cards, _phones, _addresses)
