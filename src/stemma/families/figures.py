"""Numbers as people write them: 6.2 B parameters, 140 GB of weights, 224 MiB of cache, 16x smaller.

Weights and files are decimal, as disks and the sizes of models are quoted; caches binary, as memory is.
"""


def count(number: float) -> str:
    """6.2 B, 124.4 M, 66.3 k."""
    return _scaled(number, 1000, ("", "k", "M", "B"))


def operations(number: float) -> str:
    """13.3 GFLOPs."""
    return _scaled(number, 1000, ("FLOPs", "kFLOPs", "MFLOPs", "GFLOPs", "TFLOPs"))


def size(number: float) -> str:
    """Bytes in decimal units: 140 GB."""
    return _scaled(number, 1000, ("B", "kB", "MB", "GB", "TB"))


def memory(number: float) -> str:
    """Bytes in binary units: 224 MiB."""
    return _scaled(number, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def ratio(before: float, after: float, more: str = "larger", less: str = "smaller") -> str:
    """16x smaller, 1.3x larger; "" where it rounds to nothing."""
    factor = max(before, after) / min(before, after)
    digits = f"{factor:,.0f}" if factor >= 10 else f"{factor:.3g}"
    return "" if digits == "1" else f"{digits}x {more if after > before else less}"


def _scaled(number: float, step: int, units: tuple[str, ...]) -> str:
    place = 0
    while round(number, 1) >= step and place < len(units) - 1:
        number /= step
        place += 1
    return f"{number:,.1f}".removesuffix(".0") + f" {units[place]}".rstrip()
