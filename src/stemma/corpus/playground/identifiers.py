"""Synthetic personal identifiers to be redacted, and look-alikes that must stay.

Redact: e-mail, Chinese mobile number (11 digits, 1[3-9]...), resident id (GB 11643: weights 2^(17-i) mod 11, check
character by the remainder mod 11), public IPv4. Keep: handle, order number of 12 digits, resident id with a wrong
check character, private IPv4, version number.
"""

from collections.abc import Callable
from typing import Any

from stemma.corpus.playground.draw import Draw

_CHECK_CHARACTERS = "10X98765432"
_REGIONS = ("110101", "230102", "310104", "440106", "510104")
_USERS = ("anna", "boris", "clara", "felix", "hugo", "iris", "zhang", "wang", "chen", "liu")
_HOSTS = ("lakepost.net", "townmail.cn", "riverpost.com", "hillmail.org")


def check_character(first: str) -> str:
    """The 18th character of a resident id from its first 17 digits."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(first))
    return _CHECK_CHARACTERS[total % 11]


def _resident(draw: Draw) -> str:
    born = f"{draw.between(1950, 2005)}{draw.between(1, 12):02d}{draw.between(1, 28):02d}"
    first = draw.pick(_REGIONS) + born + f"{draw.below(1000):03d}"
    return first + check_character(first)


def _wrong_resident(draw: Draw) -> str:
    right = _resident(draw)
    return right[:17] + draw.pick([c for c in "0123456789" if c != right[17]])


def _email(draw: Draw) -> str:
    return f"{draw.pick(_USERS)}{draw.between(10, 99)}@{draw.pick(_HOSTS)}"


def _mobile(draw: Draw) -> str:
    return f"1{draw.between(3, 9)}" + "".join(str(draw.below(10)) for _ in range(9))


def _public(draw: Draw) -> str:
    return f"{draw.pick((36, 58, 113, 121, 183, 211))}.{draw.between(16, 240)}.{draw.below(256)}.{draw.between(1, 254)}"


def _order(draw: Draw) -> str:
    return str(draw.between(2, 8)) + "".join(str(draw.below(10)) for _ in range(11))


# Type -> (maker, how it is introduced in English and in Chinese).
_REAL: dict[str, tuple[Callable[[Draw], str], str, str]] = {
    "email": (_email, "The address is {}.", "邮箱是{}。"),
    "cn_mobile": (_mobile, "The phone number is {}.", "电话：{}。"),
    "cn_id": (_resident, "The resident id is {}.", "身份证号是{}。"),
    "ipv4": (_public, "The computer is at {}.", "电脑地址：{}。"),
}
_LOOKALIKE: dict[str, tuple[Callable[[Draw], str], str, str]] = {
    "handle": (lambda draw: f"@{draw.pick(_USERS)}{draw.between(10, 99)}", "The user name is {}.", "用户名是{}。"),
    "order_number": (_order, "The order has the number {}.", "订单编号是{}。"),
    "cn_id_wrong": (_wrong_resident, "The serial code is {}.", "产品编号是{}。"),
    "private_ip": (lambda draw: f"192.168.{draw.below(256)}.{draw.between(1, 254)}", "The router is at {}.", "路由器：{}。"),
    "version": (lambda draw: f"{draw.between(1, 9)}.{draw.below(20)}.{draw.below(20)}", "The program is version {}.", "程序版本是{}。"),
}  # fmt: skip


def insert_identifiers(text: str, lang: str, real: bool, draw: Draw) -> tuple[str, list[dict[str, Any]]]:
    """The text with one or two identifiers (if `real`) and a look-alike between its sentences, and their spans
    {start, end, type, value, redact} in code points."""
    kinds = draw.sample(sorted(_REAL), draw.between(1, 2)) if real else []
    kinds = draw.shuffled([*kinds, draw.pick(sorted(_LOOKALIKE))])
    chinese = "。" in text
    ends = [i + 1 for i, letter in enumerate(text) if letter == "。" or text[i : i + 2] == ". "]
    places = sorted(draw.sample([*ends, len(text)], len(kinds)))
    pieces, spans, length, start = [], [], 0, 0
    for kind, place in zip(kinds, places, strict=True):
        make, english, han = _REAL.get(kind) or _LOOKALIKE[kind]
        value, sentence = make(draw), han if chinese else " " + english
        before, after = sentence.split("{}")
        pieces += [text[start:place], before, value, after]
        at = length + (place - start) + len(before)
        spans.append(
            {"start": at, "end": at + len(value), "type": kind, "value": value, "redact": kind in _REAL}
        )
        length, start = at + len(value) + len(after), place
    return "".join([*pieces, text[start:]]), spans
