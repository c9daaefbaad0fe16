"""E-mail addresses: found at the "@", to the left and right of which a local part and a domain are proved."""

import re
from collections.abc import Iterator

from stemma.corpus.personal.span import Found, Window

_LOCAL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_+-])?@")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}(?P<top>[A-Za-z]{2,24})(?![A-Za-z0-9@])"
)
_FILE_ENDINGS = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "service"]
)  # icon@2x.png

_URL_USER = re.compile(r"://(?:[^\s/@:]{1,64}:)?\Z")


def emails(window: Window) -> Iterator[Found]:
    """The address whose "@" is the trigger."""
    text, at = window.text, window.first
    domain = _DOMAIN.match(text, at + 1)
    if domain is None or domain["top"].lower() in _FILE_ENDINGS:
        return
    start = _local_start(text, at)
    if start is None or text[start:at] == "git" or _URL_USER.search(text, 0, start):
        return
    between_slashes = text[max(0, start - 1) : start] == "/" == text[domain.end() : domain.end() + 1]
    if not between_slashes:
        yield Found(start, domain.end(), "EMAIL")


def _local_start(text: str, at: int) -> int | None:
    """Where the local part begins that ends before the "@"."""
    first = at
    while first > 0 and (
        text[first - 1].isascii() and (text[first - 1].isalnum() or text[first - 1] in "._%+-")
    ):
        first -= 1
    for start in range(first, at):
        match = _LOCAL.match(text, start)
        if (
            match
            and match.end() == at + 1
            and not (start and text[start - 1].isascii() and text[start - 1].isalnum())
        ):
            return start
    return None
