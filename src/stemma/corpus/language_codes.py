"""The codes of languages: those that `language` gives, what else people write for them, and the scripts that say one.

Pure data and cheap to import, as settings are checked by it.
"""

import re
from typing import NamedTuple

from stemma.config import suggest
from stemma.errors import StemmaError

UNDETERMINED = "und"
_TOLD_APART = (
    "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo fr fuv fy "
    "ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km kn ko ku ky la lb "
    "lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no nso oc om or pa pcm pl ps pt qu ro ru rw sa sdh se si "
    "sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo yue zh zu"
)
CODES = tuple(_TOLD_APART.split())
"""What the language model tells apart, by ISO 639-1, and 639-3 where that has none. (It has zxx too: no language.)"""


class Script(NamedTuple):
    """A script other than Latin, Han, kana and Hangul."""

    ranges: tuple[tuple[int, int], ...]
    """First and last code points of its blocks."""
    languages: str
    """Those that are written in it, by their codes."""


SCRIPTS = {
    "Cyrl": Script(
        ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
        "ru uk bg be mk sr bs kk ky tg tt mn ba uz az tk ku",
    ),
    "Arab": Script(
        ((0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFE)),
        "ar ary arz fa ur ps ug sdh ku uz uzs az kk ky ms tk ha",
    ),
    "Hebr": Script(((0x590, 0x5FF), (0xFB1D, 0xFB4F)), "he hbo yi"),
    "Deva": Script(((0x900, 0x97F), (0xA8E0, 0xA8FF)), "hi mr ne sa gom"),
    "Beng": Script(((0x980, 0x9FF),), "bn as"),
    "Guru": Script(((0xA00, 0xA7F),), "pa"),
    "Gujr": Script(((0xA80, 0xAFF),), "gu"),
    "Orya": Script(((0xB00, 0xB7F),), "or"),
    "Taml": Script(((0xB80, 0xBFF),), "ta"),
    "Telu": Script(((0xC00, 0xC7F),), "te"),
    "Knda": Script(((0xC80, 0xCFF),), "kn gom"),
    "Mlym": Script(((0xD00, 0xD7F),), "ml"),
    "Sinh": Script(((0xD80, 0xDFF),), "si"),
    "Thai": Script(((0xE00, 0xE7F),), "th"),
    "Laoo": Script(((0xE80, 0xEFF),), "lo"),
    "Tibt": Script(((0xF00, 0xFFF),), "dz bo"),
    "Mymr": Script(((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)), "my shn mnw"),
    "Geor": Script(((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)), "ka"),
    "Armn": Script(((0x530, 0x58F), (0xFB13, 0xFB17)), "hy"),
    "Ethi": Script(((0x1200, 0x139F), (0x2D80, 0x2DDF)), "am ti"),
    "Khmr": Script(((0x1780, 0x17FF), (0x19E0, 0x19FF)), "km"),
}
"""By their codes of ISO 15924. Greek is none of them: its letters stand in formulas of any language."""


def code_of_script(name: str) -> str:
    """The language that alone is written in a script, or `und` with the script: und-Cyrl."""
    languages = SCRIPTS[name].languages.split()
    return languages[0] if len(languages) == 1 else f"{UNDETERMINED}-{name}"


_SCRIPTS_ALONE = [code for name in SCRIPTS if (code := code_of_script(name)).startswith(UNDETERMINED)]
_KNOWN = {code.lower(): code for code in (*CODES, UNDETERMINED, *_SCRIPTS_ALONE, "zh-Hans", "zh-Hant")} | {
    **dict.fromkeys(("zh-cn", "zh-sg", "zh-my", "zh-hans-cn", "zh-hans-sg"), "zh-Hans"),
    **dict.fromkeys(("zh-tw", "zh-hk", "zh-mo", "zh-hant-tw", "zh-hant-hk", "zh-hant-mo"), "zh-Hant"),
}
_MEANT = {
    other: code
    for code, others in {
        "ar": "arabic ara",
        "de": "german deutsch deu ger",
        "en": "english eng gb us",
        "es": "spanish espanol spa",
        "fr": "french francais fra fre",
        "hi": "hindi hin",
        "id": "indonesian ind",
        "it": "italian ita",
        "ja": "japanese jpn jp",
        "ko": "korean kor kr",
        "nl": "dutch nld dut",
        "no": "norwegian nor nb",
        "pt": "portuguese por",
        "ru": "russian rus",
        "th": "thai tha",
        "tr": "turkish tur",
        "uk": "ukrainian ukr ua",
        "vi": "vietnamese vie vn",
        "zh": "chinese mandarin zho chi cmn cn",
        "zh-Hans": "simplified hans",
        "zh-Hant": "traditional hant tw hk",
    }.items()
    for other in others.split()
}


def _meant(name: str) -> str | None:
    return _KNOWN.get(name, _MEANT.get(name))


def language_code(name: str) -> str:
    """The code that a document's language can have, from what a user writes: in any case, zh by its regions too.

    Raises StemmaError for one that no document can have.
    """
    folded = name.strip().lower().replace("_", "-")
    if folded in _KNOWN:
        return _KNOWN[folded]
    parts = re.findall(r"[^\s,;]+", folded)
    meant = [_meant(part) or _meant(part.partition("-")[0]) for part in parts]
    likely = " ".join(code for code in meant if code)
    hint = (
        f"; did you mean '{likely}'?"
        if parts and all(meant)
        else suggest(folded, sorted(set(_KNOWN.values())))
    )
    raise StemmaError(f"there is no language '{name}'{hint}")
