"""Numbers as people read them: the filters of the templates and the labels of the plots."""

import math

NONE = "\u2013"  # shown where a stage gave no number


def count(value: float | None) -> str:
    """Whole number with narrow separators that never break: 1 234 567."""
    return NONE if value is None else f"{round(value):,}".replace(",", "\u202f")


def short(value: float | None) -> str:
    """Three significant digits with k, M, G, T: 4.21 M."""
    if value is None:
        return NONE
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            return f"{_three(value / size)}\u202f{unit}"
    return _three(value)


def percent(share: float | None, digits: int = 1) -> str:
    """A share between 0 and 1 as percent."""
    return NONE if share is None else f"{100 * share:.{digits}f}\u202f%"


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with fixed decimals; very small or large ones in scientific notation."""
    if value is None:
        return NONE
    if value and (abs(value) < 0.5 * 10**-digits or abs(value) >= 1e7):
        return _scientific(value, 1)
    return f"{value:.{digits}f}".replace("-", "\u2212")


def significant(value: float | None) -> str:
    """Three significant digits at any size, for differences that may be 0 or tiny."""
    if value is None or value == 0:
        return NONE if value is None else "0"
    return _three(value).replace("-", "\u2212") if 1e-3 <= abs(value) < 1e7 else _scientific(value, 2)


def duration(seconds: float | None) -> str:
    """7 min 32 s; 850 ms; 3 h 05 min."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{1000 * seconds:.0f}\u202fms"
    if seconds < 59.5:
        return f"{_three(seconds)}\u202fs"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u202fh {minutes:02d}\u202fmin" if hours else f"{minutes}\u202fmin {rest:02d}\u202fs"


def size(num_bytes: float | None) -> str:
    """Bytes in decimal units."""
    return (
        NONE
        if num_bytes is None
        else f"{short(num_bytes)}B"
        if num_bytes >= 1e3
        else f"{num_bytes:.0f}\u202fB"
    )


def plain(name: str) -> str:
    """A field or rule name as words."""
    return name.replace("_", " ")


def scalar(value: object) -> str:
    """Any JSON value in a table cell."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return fixed(value, 4) if math.isfinite(value) else str(value)
    if value is None:
        return NONE
    if isinstance(value, list):
        return ", ".join(scalar(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{plain(str(key))} {scalar(item)}" for key, item in value.items())
    return str(value)


def width(text: str) -> float:
    """Width in em of a label in a plain sans font: full-width characters 1, others at most 0.6 on average."""
    return sum(1.0 if ord(letter) >= 0x1100 else 0.6 for letter in text)


_SUPERSCRIPT = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}\u00d710{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "\u2212")


def _three(value: float) -> str:
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text and abs(value) < 1 else text
