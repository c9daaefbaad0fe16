"""Clusters of digits in UTF-8 bytes: whether one may be a number worth a proof.

Digits with single spaces, hyphens, dots and parentheses between them are one cluster. Most of them are years, prices,
hashes and decimals, so the checks that cost little are made here: counts, the first digits, Luhn, mod 11-2 and mod 31,
private addresses, the letters that touch. All of it errs on the side of the proof.
"""

from typing import Any

import numpy as np
from numba import njit

from stemma.corpus.personal.checksum import IBAN_LENGTHS
from stemma.corpus.personal.forms import ascii_at, ascii_before, is_digit, is_hex, is_upper, is_word

_IBAN_TABLE = np.zeros((26, 26), np.int64)
for _country, _length in IBAN_LENGTHS.items():
    _IBAN_TABLE[ord(_country[0]) - 65, ord(_country[1]) - 65] = _length


@njit(cache=True, nogil=True)
def _is_separator(code: Any) -> Any:
    return code in (32, 45, 46, 40, 41)


@njit(cache=True, nogil=True)
def _may_be_public(first, second):  # type: ignore[no-untyped-def]
    """Whether first.second.x.y may be a public IPv4 address; spares the proof the common private ones."""
    if first in (0, 10, 127) or first >= 224:
        return False
    return not ((first == 192 and second == 168) or (first == 172 and 16 <= second <= 31))


@njit(cache=True, nogil=True)
def _may_be_bare(data, i, stop, length):  # type: ignore[no-untyped-def]
    """Whether digits with nothing beside them may be one of the numbers: by their count, the first two, the checks."""
    even, odd, resident, credit, power, head, place = 0, 0, 0, 0, 1, 0, 0
    while i < stop:
        found = ascii_at(data, i, stop)
        digit = (found >> 3) - 48
        place += 1
        head = head * 10 + digit if place <= 2 else head
        even, odd = (
            odd + digit,
            even + (2 * digit - 9 if digit > 4 else 2 * digit),
        )  # Luhn, this digit the last
        resident = (2 * resident + digit) % 11
        credit += digit * (power if place < 18 else 1)
        power = power * 3 % 31
        i += found & 7
    lead, luhn = head // 10, even % 10 == 0
    if length == 9:
        return True
    if length == 10:
        return lead >= 2
    if length == 11:
        return lead <= 1
    if length == 12:
        return lead == 0 or head == 86
    if length == 13:
        return head == 86 or (luhn and lead == 4)
    if length == 14:
        return head == 0 or (luhn and lead == 3)
    if length == 15:
        return luhn or lead <= 8
    return luhn or (length == 18 and (resident == 1 or credit % 31 == 0))


@njit(cache=True, nogil=True)
def _may_touch(data, first, stop, start, end, group, in_row):  # type: ignore[no-untyped-def]
    """Whether the digits data[first:stop] may be a number although letters touch them."""
    right, after = 0, 0
    while stop < end and right < 19:
        found = ascii_at(data, stop, end)
        if not is_word(found >> 3):
            break
        after = after if right else found >> 3
        right += 1
        stop += found & 7
    left, digits = 0, 0
    while left < 19:
        found = ascii_before(data, first, start)
        if not is_word(found >> 3):
            break
        digits += is_digit(found >> 3)
        left += 1
        first -= found & 7
    if left + group + right == 18:
        return True  # a social credit code, a resident id that ends in X
    if right == 0:
        return digits == 0 and left <= 10  # a label, the letters of a passport
    return in_row and after in (69, 88, 101, 120)  # an extension


@njit(cache=True, nogil=True)
def read_cluster(data, i, start, end):  # type: ignore[no-untyped-def]
    """The end of the digits and separators that begin at byte i, whether they may be a number, and a dotted quad."""
    before = ascii_before(data, i, start) >> 3
    number = quad = False
    older, old, dotted = 0, 0, 0
    octet, second, by_dot = 0, 0, False
    while True:
        first, group, value, found = i, 0, 0, 0
        while i < end:
            byte = data[i]
            if 48 <= byte <= 57:
                digit, width = np.int64(byte) - 48, 1
            elif byte == 0xEF:
                found = ascii_at(data, i, end)
                digit, width = (found >> 3) - 48, 3
                if not 0 <= digit <= 9:
                    break
            else:
                break
            group += 1
            value = value * 10 + digit if group <= 3 else value
            i += width
        stop = i
        in_row = old > 0
        if group >= 7 and not (in_row and by_dot):
            if is_word(before) or (i < end and is_word(ascii_at(data, i, end) >> 3)):
                number |= _may_touch(data, first, stop, start, end, group, in_row)
            elif in_row:
                number = True
            elif 9 <= group <= 19:
                number |= _may_be_bare(data, first, stop, group)
        number |= older >= 2 and 2 <= old <= 6 and group >= 4 and older + old + group >= 9
        number |= old >= 7 and group == 4
        dotted = 0 if group > 3 else dotted + 1 if by_dot else 1
        if dotted == 1:
            octet = value
        elif dotted == 2:
            second = value
        quad |= dotted == 4 and _may_be_public(octet, second)
        older, old = old, group
        gap = 0
        while i < end and gap < 4:
            found = ascii_at(data, i, end)
            if not _is_separator(found >> 3):
                break
            by_dot = gap == 0 and found >> 3 == 46
            before = found >> 3
            gap += 1
            i += found & 7
        if gap == 0 or gap > 3 or i >= end or not is_digit(ascii_at(data, i, end) >> 3):
            return stop, number, quad


@njit(cache=True, nogil=True)
def heads_groups(data, i, end):  # type: ignore[no-untyped-def]
    """Whether a first group of 2000::/3 and a colon stand at byte i."""
    for place in range(5):
        if i >= end:
            return False
        found = ascii_at(data, i, end)
        code = found >> 3
        if place == 0 and code not in (50, 51):
            return False
        if place < 4 and not is_hex(code):
            return False
        if place == 4 and code != 58:
            return False
        i += found & 7
    if i >= end:
        return False
    code = ascii_at(data, i, end) >> 3
    return code == 58 or is_hex(code)


@njit(cache=True, nogil=True)
def read_iban(data, i, start, end):  # type: ignore[no-untyped-def]
    """First byte and end of what may be an IBAN whose two check digits begin at byte i; an end of 0 if none."""
    second = ascii_before(data, i, start)
    if not is_upper(second >> 3):
        return 0, 0
    at = i - (second & 7)
    first = ascii_before(data, at, start)
    if not is_upper(first >> 3):
        return 0, 0
    at -= first & 7
    needed = _IBAN_TABLE[(first >> 3) - 65, (second >> 3) - 65] - 2
    if needed < 0:
        return 0, 0
    seen, gap, digits = 0, 0, 0
    while i < end:
        found = ascii_at(data, i, end)
        code = found >> 3
        if is_digit(code) or is_upper(code):
            seen += 1
            gap = 0
            digits += is_digit(code)
            if seen == 2 and digits < 2:
                return 0, 0
            if seen == needed:
                return at, i + (found & 7)
        elif code in (32, 45) and gap == 0 and seen >= 2:
            gap = 1
        else:
            return 0, 0
        i += found & 7
    return 0, 0
