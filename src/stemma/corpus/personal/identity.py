"""Numbers a state gives: Chinese resident ids, unified social credit codes, social security numbers, passports.

The first two prove themselves (region, date, check character). A social security number is known by its hyphens and
excluded ranges. A passport number has no check that a text shows, so the word passport must stand beside it.
"""

import datetime
import re
from collections.abc import Iterator

from stemma.corpus.personal.border import is_labelled, joins_number, label, stands_alone
from stemma.corpus.personal.checksum import credit_code_check, id_card_check
from stemma.corpus.personal.span import Found, Window

_ID_CARD = re.compile(
    r"[1-9][0-9]{5}(?:[0-9]{11}[0-9Xx]|(?P<s>[ -])(?:[0-9]{8}|[0-9]{4}(?P=s)[0-9]{4})(?P=s)[0-9]{3}[0-9Xx])"
    r"|[1-9][0-9]{3}(?P<t>[ -])(?:[0-9]{4}(?P=t)){3}[0-9][0-9Xx]"
)
_PROVINCES = frozenset(
    f"{first}{second}"
    for first, seconds in zip(
        "12345678", ("12345", "123", "1234567", "123456", "01234", "12345", "1", "123"), strict=True
    )
    for second in seconds
)
_OLD_ID_CARD = re.compile(r"(?<![0-9])[1-8][0-9]{5}(?P<birth>[0-9]{6})[0-9]{3}(?![0-9])")
_ID_LABEL = label("身份证|身份号|公民身份|证件号|identity card|resident id|id card")

_CREDIT_CODE = re.compile(r"[1-9ANYany][1-9](?P<region>[0-9]{6})[0-9A-Za-z]{10}")
_CREDIT_LABEL = label("信用代码|统一代码|税号|纳税人|识别号|credit code|uscc")
_SSN = re.compile(r"(?!000|666|9)[0-9]{3}(?P<s>[ -]?)(?!00)[0-9]{2}(?P=s)(?!0000)[0-9]{4}(?![0-9])")
_SSN_LABEL = label(r"\bssn|social security|社会安全|社安号")

_PASSPORT = re.compile(r"[A-Za-z]{0,2}[0-9]{7,9}(?![0-9])")
_PASSPORT_SHAPES = re.compile(
    r"[EGDSP][0-9]{8}|[EGDSP][A-Z][0-9]{7}|1[45][0-9]{7}|[A-Z]{1,2}[0-9]{6,8}|[0-9]{9}"
)
_PASSPORT_BEFORE = re.compile(r"(?:护照|護照|通行证|passport)[^。\n0-9]{0,24}\Z", re.IGNORECASE)
_PASSPORT_AFTER = re.compile(r"[\s,，()（的]{0,3}(?:护照|護照|passport)", re.IGNORECASE)


def identities(window: Window) -> Iterator[Found]:
    """The identity numbers of a cluster of digits and the letters that touch it."""
    text, first = window.text, max(0, window.first - 3)
    for match in _ID_CARD.finditer(text, first):
        if match.start() < window.last and _is_id_card(text, match):
            yield Found(match.start(), match.end(), "ID_CARD")
    for match in _OLD_ID_CARD.finditer(text, window.first, window.last):
        if _is_date("19" + match["birth"]) and is_labelled(_ID_LABEL, text, match.start()):
            yield Found(match.start(), match.end(), "ID_CARD")
    for match in _CREDIT_CODE.finditer(text, first):
        if match.start() < window.last and _is_credit_code(text, match):
            yield Found(match.start(), match.end(), "CREDIT_CODE")
    for match in _SSN.finditer(text, window.first):
        if match.start() < window.last and _is_social_security(text, match):
            yield Found(match.start(), match.end(), "SSN")
    for match in _PASSPORT.finditer(text, first):
        if match.start() < window.last and _is_passport(text, match):
            yield Found(match.start(), match.end(), "PASSPORT")


def _is_id_card(text: str, match: re.Match[str]) -> bool:
    value = match[0].replace(" ", "").replace("-", "").upper()
    valid = value[:2] in _PROVINCES and _is_date(value[6:14]) and id_card_check(value[:17]) == value[17]
    spaced = len(value) < len(match[0])
    joined = spaced and joins_number(text, match.start(), match.end(), " -")
    return valid and not joined and stands_alone(text, match.start(), match.end())


def _is_date(digits: str) -> bool:
    try:
        return 1900 <= datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year < 2100
    except ValueError:
        return False


def _is_credit_code(text: str, match: re.Match[str]) -> bool:
    """Eighteen digits, or a resident id with an X, pass the check one time in thirty: they need a label."""
    value, region = match[0].upper(), match["region"]
    if not (region[:2] in _PROVINCES or region == "100000") or credit_code_check(value[:17]) != value[17]:
        return False
    labelled = not value[:17].isdecimal() or is_labelled(_CREDIT_LABEL, text, match.start())
    return labelled and stands_alone(text, match.start(), match.end())


def _is_social_security(text: str, match: re.Match[str]) -> bool:
    start, end = match.span()
    if not stands_alone(text, start, end) or joins_number(text, start, end, "-"):
        return False
    return match["s"] == "-" or is_labelled(_SSN_LABEL, text, start)


def _is_passport(text: str, match: re.Match[str]) -> bool:
    start, end = match.span()
    if not _PASSPORT_SHAPES.fullmatch(match[0].upper()) or not stands_alone(text, start, end):
        return False
    before = _PASSPORT_BEFORE.search(text, max(0, start - 36), start)
    return before is not None or _PASSPORT_AFTER.match(text, end) is not None
