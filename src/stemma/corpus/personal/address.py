"""Public IPv4 and IPv6 addresses. Private, local, documentation and multicast ones are nobody's, and stay.

Four numbers with dots are a version as often as an address: a word such as "version" before them decides, and where they
are small only a word of the network makes them an address.
"""

import ipaddress
import re
from collections.abc import Iterator

from stemma.corpus.personal.border import OF_A_THING, is_labelled, stands_alone
from stemma.corpus.personal.span import Found, Window

_QUAD = re.compile(r"(?<![0-9])[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9])")
_LEFT, _RIGHT = re.compile(r"[A-Za-z]-\Z|[0-9A-Za-z]\.\Z|[A-Za-z0-9]/\Z"), re.compile(r"\.[a-z]|-[A-Za-z]")
_MAPPED = re.compile(r"(?<![0-9A-Za-z:])::ffff:\Z", re.IGNORECASE)
_VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver|version|release|sections?|chapter|build|firmware|driver|\boid|§|版本|版本号|固件|驱动|内核|章节)"
    r"[\s.:：#=是为\"'“(]*\Z",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"\bip|address|host|server|\bdns|ping|://|\bport\b|地址|服务器|主机|域名|网关|节点|登录", re.IGNORECASE
)
_SMALL, _TINY = 31, 10

_GROUPS = re.compile(
    r"(?<![0-9A-Za-z.])(?<!::)(?:[0-9A-Fa-f]{1,4}:{1,2}){1,7}[0-9A-Fa-f]{1,4}(?![0-9A-Za-z:])"
)
_GROUP_BEFORE = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{1,4}:\Z")
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")


def quads(window: Window) -> Iterator[Found]:
    """The IPv4 addresses of a cluster of digits."""
    text = window.text
    for match in _QUAD.finditer(text, window.first, window.last):
        start, end = match.span()
        before = text[max(0, start - 16) : start]
        alone = stands_alone(text, start, end) and not _LEFT.search(before) and not _RIGHT.match(text, end)
        if not alone or not _is_public_quad(text, match):
            continue
        if not _VERSION_BEFORE.search(before) and not is_labelled(OF_A_THING, text, start):
            mapped = _MAPPED.search(text, max(0, start - 8), start)
            yield Found(mapped.start() if mapped else start, end, "IP")


def _is_public_quad(text: str, match: re.Match[str]) -> bool:
    try:
        address = ipaddress.IPv4Address(match[0])
    except ValueError:
        return False
    if not address.is_global or address.is_multicast:
        return False
    around = text[max(0, match.start() - 40) : match.start()] + text[match.end() : match.end() + 16]
    return not _is_like_a_version(*address.packed) or _NETWORK.search(around) is not None


def _is_like_a_version(first: int, *others: int) -> bool:
    """Small numbers, or a tiny first one and two tiny ones after it: 2.17.4.30, 3.36.10.0, 8.2.4.44."""
    return max(first, *others) <= _SMALL or (first <= _TINY and sum(one <= _TINY for one in others) >= 2)


def groups(window: Window) -> Iterator[Found]:
    """The IPv6 address that begins at the trigger."""
    match = _GROUPS.match(window.text, window.first)
    # "host:2408:..." is an address after a label; "1:2408:..." is the tail of a longer row of groups.
    if match and not _GROUP_BEFORE.search(window.text, max(0, match.start() - 6), match.start()):
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            return
        if address in _GLOBAL_IPV6 and address.is_global:
            yield Found(match.start(), match.end(), "IP")
