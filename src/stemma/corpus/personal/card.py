"""Bank and credit cards (issuer ranges, lengths and the Luhn digit, ISO/IEC 7812) and IBANs (mod 97, ISO 13616).

A random number passes Luhn one time in ten, so without a label only the lengths and groups in use today are taken.
"""

import re
from collections.abc import Iterator

from stemma.corpus.personal.border import OF_A_THING, is_labelled, label, stands_alone
from stemma.corpus.personal.checksum import iban_holds, luhn_holds
from stemma.corpus.personal.span import Found, Type, Window

_CARD = re.compile(
    r"[2-9][0-9]{12,18}(?![0-9])"
    r"|[2-9][0-9]{3}(?P<s>[ -])[0-9]{4}(?P=s)[0-9]{4}(?P=s)[0-9]{4}(?P<tail>(?P=s)?[0-9]{1,3})?(?![0-9])"
    r"|3[0-9]{3}(?P<t>[ -])[0-9]{6}(?P=t)[0-9]{4,5}(?![0-9])"
    r"|[4-9][0-9]{5}[ -][0-9]{10,13}(?![0-9])"
)
_LABEL = label(
    r"卡号|银行卡|信用卡|储蓄卡|借记卡|账号|帐号|账户|帐户|汇款|转账|打款|卡|card|credit|debit|account|acct|visa|mastercard|amex"
)
# (issuer, what follows it, lengths certain by themselves, lengths that need a label)
_ISSUERS: tuple[tuple[re.Pattern[str], Type, tuple[int, ...], tuple[int, ...]], ...] = (
    (re.compile("62"), "BANK_CARD", (16, 19), (17, 18)),  # 18 digits are rather a resident id of Gansu
    (re.compile("9558|955[0-9]{2}|60138|60142|60190|6858|9111|90[03]|84[0-9]{2}|87[0-9]{2}"), "BANK_CARD", (19,), (16, 17, 18)),
    (re.compile("4"), "CREDIT_CARD", (16,), (13, 19)),
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), "CREDIT_CARD", (16,), ()),
    (re.compile("3[47]"), "CREDIT_CARD", (15,), ()),
    (re.compile("6011|64[4-9]|65"), "CREDIT_CARD", (16,), (17, 18, 19)),
    (re.compile("352[89]|35[3-8]"), "CREDIT_CARD", (16,), (17, 18, 19)),
    (re.compile("30[0-5]|3095|3[689]"), "CREDIT_CARD", (), (14, 16, 17, 18, 19)),
    (re.compile("[3-9]"), "BANK_CARD", (), (16, 17, 18, 19)),
)  # fmt: skip
_DATE_AFTER = re.compile(r" (?:[0-9]{1,2}/|[0-9]{4}年|20[0-9]{2}\b)")


def cards(window: Window) -> Iterator[Found]:
    """The cards of a cluster of digits."""
    for match in _CARD.finditer(window.text, window.first):
        if match.start() >= window.last:
            return
        ends = (match.end(),) if match["tail"] is None else (match.end(), match.start("tail"))
        for end in ends:
            kind = _card_type(window.text, match.start(), end, match["s"] or match["t"])
            if kind:
                yield Found(match.start(), end, kind)
                break


def _card_type(text: str, start: int, end: int, separator: str | None) -> Type | None:
    digits = text[start:end].replace(" ", "").replace("-", "")
    if not luhn_holds(digits) or not _stands_alone(text, start, end, separator):
        return None
    return _issued_as(digits, len(digits) < end - start or is_labelled(_LABEL, text, start))


def _issued_as(digits: str, sure: bool) -> Type | None:
    """The type of card that an issuer gives so many digits; `sure` if a label or groups tell that it is a card."""
    for issuer, kind, certain, labelled in _ISSUERS:
        if issuer.match(digits) and (len(digits) in certain or (sure and len(digits) in labelled)):
            return kind
    return None


def _stands_alone(text: str, start: int, end: int, separator: str | None) -> bool:
    if not stands_alone(text, start, end):
        return False
    if separator is None:
        return not is_labelled(OF_A_THING, text, start)
    left = start >= 2 and text[start - 1] == separator and text[start - 2].isdecimal()
    right = end + 1 < len(text) and text[end] == separator and text[end + 1].isdecimal()
    return not left and (not right or _DATE_AFTER.match(text, end) is not None)


def ibans(window: Window) -> Iterator[Found]:
    """The IBAN that is the trigger."""
    value = window.text[window.first : window.last].replace(" ", "").replace("-", "")
    if iban_holds(value) and stands_alone(window.text, window.first, window.last):
        yield Found(window.first, window.last, "IBAN")
