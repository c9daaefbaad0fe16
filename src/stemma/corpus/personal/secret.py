"""Access keys, known by the prefix their issuer gives them, and private keys in armour."""

import re
from collections.abc import Iterator

from stemma.corpus.personal.span import Found, Window

_SHAPES = (
    r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    r"gh[pousr]_[A-Za-z0-9]{30,}",
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"sk-[A-Za-z0-9_-]{20,}",
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,}",
    r"dop_v1_[a-f0-9]{64}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"LTAI[A-Za-z0-9]{12,26}(?![A-Za-z0-9])",
    r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
)
_KEY = re.compile("|".join(_SHAPES))
_STYLE = re.compile(r"sk-[a-z_-]*")
_NAME = r"(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?"
_PRIVATE_KEY = re.compile(rf"-----BEGIN {_NAME}-----(?:(?!-----)[\s\S])*-----END {_NAME}-----")


def keys(window: Window) -> Iterator[Found]:
    """The access key that begins at the trigger; small letters and hyphens after "sk-" are the name of a style."""
    match = _KEY.match(window.text, window.first)
    if match and not _STYLE.fullmatch(match[0]):
        yield Found(match.start(), match.end(), "API_KEY")


def private_keys(window: Window) -> Iterator[Found]:
    """The armoured private key that begins at the trigger, from its head to its foot."""
    match = _PRIVATE_KEY.match(window.text, window.first)
    if match:
        yield Found(match.start(), match.end(), "PRIVATE_KEY")
