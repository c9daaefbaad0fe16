"""tiktoken's vocabulary file: one token a line, its bytes in base64 and its rank, which is its id.

Ranks order the merges too: of two neighbours the pair whose joined bytes have the lowest rank is merged first. So the
merges need no list; `merges` recovers the one pair that makes each token, for formats that want it.
"""

import base64
import binascii
import itertools
from collections.abc import Mapping

from stemma.errors import StemmaError


def read_ranks(raw: bytes, source: str) -> dict[bytes, int]:
    """Ranks by token. Raises StemmaError naming the line that is damaged or repeats, or what is missing."""
    ranks: dict[bytes, int] = {}
    seen: dict[int, int] = {}
    for number, line in enumerate(raw.splitlines(), 1):
        if not line.strip():
            continue
        token, rank = _parsed(line, f"{source}:{number}")
        if rank in seen:
            raise StemmaError(
                f"{source}:{number}: rank {rank} stands on line {seen[rank]} already; the file is damaged"
            )
        if token in ranks:
            raise StemmaError(
                f"{source}:{number}: token {line.split()[0].decode()} stands twice; the file is damaged"
            )
        ranks[token], seen[rank] = rank, number
    _check_whole(ranks, source)
    return ranks


def write_ranks(ranks: Mapping[bytes, int]) -> bytes:
    """The file's content, in the order of the ranks."""
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ordered)


def merges(ranks: Mapping[bytes, int], source: str) -> list[tuple[bytes, bytes]]:
    """The pair that makes each token of two or more bytes, in rank order. Raises StemmaError when one has none."""
    pairs: list[tuple[bytes, bytes]] = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        parts = merged_below(token, ranks, rank)
        if len(parts) != 2:
            raise StemmaError(
                f"{source}: token {rank} ({token!r}) is not made of two tokens of lower rank, so it has no merge; this"
                " vocabulary cannot be written as a list of merges"
            )
        pairs.append((parts[0], parts[1]))
    return pairs


def merged_below(token: bytes, ranks: Mapping[bytes, int], limit: int) -> list[bytes]:
    """Parts of `token` when only tokens of a rank below `limit` may be made."""
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 1:
        found = [ranks.get(left + right, limit) for left, right in itertools.pairwise(parts)]
        lowest = min(found)
        if lowest >= limit:
            return parts
        at = found.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _parsed(line: bytes, place: str) -> tuple[bytes, int]:
    words = line.split()
    try:
        [encoded, rank] = words
        token = base64.b64decode(encoded, validate=True)
        if not token or not rank.isdigit() or len(rank) > 9:
            raise ValueError
    except (ValueError, binascii.Error):
        shown = line[:40].decode(errors="replace")
        raise StemmaError(
            f"{place}: {shown!r} is not a token in base64 and its rank; the file is damaged, download it again"
        ) from None
    return token, int(rank)


def _check_whole(ranks: Mapping[bytes, int], source: str) -> None:
    if not ranks:
        raise StemmaError(f"{source}: holds no ranks; download it again")
    absent = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if absent:
        raise StemmaError(
            f"{source}: has no token for the byte {absent[0]:#04x}; the file is cut, download it again"
        )
    if max(ranks.values()) != len(ranks) - 1:
        raise StemmaError(
            f"{source}: holds {len(ranks)} tokens, but ranks up to {max(ranks.values())}; ranks are missing, download it"
            " again"
        )
