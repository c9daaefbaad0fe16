"""What may stand beside a value: rules on neighbours, and the labels that introduce a number.

`\\b` does not exist between a Han character and a digit, so every rule names the neighbours it refuses.
"""

import re

_LEFT, _RIGHT = re.compile(r"[0-9A-Za-z_]\Z|[0-9]\.\Z"), re.compile(r"[0-9A-Za-z_]|\.[0-9]")
# Latin words that may touch the value they introduce, as in "Tel13812345678".
_LABEL_TOUCHES = re.compile(
    r"(?<![A-Za-z])(?:tel|telephone|phone|mobile|mob|cell|call|fax|id|no|ip|ssn|card|passport|iban|uscc|ext|sfz)\Z",
    re.IGNORECASE,
)
_GAP = r"(?:[\s:：=#.\"'“”‘’(\[（【<*|,，/-]|号码?|是|为|账号?|帐号?|number|no|num|is|was|at|to|us|me|him|her|them|on|or|and|the){0,8}\Z"


def stands_alone(text: str, start: int, end: int) -> bool:
    """True unless text[start:end] is a piece of a longer number, word or decimal."""
    if _RIGHT.match(text, end):
        return False
    if not _LEFT.search(text, max(0, start - 2), start):
        return True
    return bool(_LABEL_TOUCHES.search(text, max(0, start - 12), start))


def joins_number(text: str, start: int, end: int, separators: str) -> bool:
    """True if text[start:end] is written in one row with another group of digits, by one of the separators."""
    left = start >= 2 and text[start - 1] in separators and text[start - 2].isdecimal()
    right = end + 1 < len(text) and text[end] in separators and text[end + 1].isdecimal()
    return left or right


def label(words: str) -> re.Pattern[str]:
    """A pattern that, searched up to the start of a value, tells whether one of the words introduces it."""
    return re.compile(rf"(?:{words}){_GAP}", re.IGNORECASE)


def is_labelled(pattern: re.Pattern[str], text: str, start: int) -> bool:
    """Whether the label stands right before text[start:]."""
    return pattern.search(text, max(0, start - 40), start) is not None


# Numbers that are given to things: no phone and no card, whatever their digits.
OF_A_THING = label(
    r"\$|订单|运单|快递|单号|流水|编号|编码|序列号|货号|型号|批号|条码|条形码|书号|版本|时间戳|工单|案件|发票|学号|工号|"
    r"\border|tracking|invoice|serial|isbn|issn|\bsku|barcode|product code|part n|model n|item n|version|timestamp|ticket"
    r"|\bmemory|\btotal|\bsize|\bbytes|\bcount|\boffset|字节|大小|内存|总数"
)
