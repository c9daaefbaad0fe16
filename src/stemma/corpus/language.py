"""Which language a text is in: by script where the script says it, by a trained model where letters are Latin
and doubtful.

Han without kana is zh, kana ja, Hangul ko; Latin text in which common English words are as frequent as in
English is en. What is left goes to the model of py3langid (Lui and Baldwin 2012), which ships inside its
package, on the first part of the text; a verdict it is not sure of is `und`, undetermined, and so are texts
of few letters and most source code. A script says something from a few letters on, and where the model is
not sure: Thai is th, and Cyrillic, which many languages share, und-Cyrl (`language_codes`). Chinese is told
apart by the characters that only one of its two writings has.
"""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stemma.corpus.characters import HAN, KANA, LETTER, character_tables, kind_tables
from stemma.corpus.language_codes import CODES, SCRIPTS, UNDETERMINED, code_of_script
from stemma.corpus.language_model import LanguageModel
from stemma.corpus.measures import Measures
from stemma.corpus.scan import Scanned

_SAMPLE = 800
_FEWEST_LETTERS = 40  # of Latin ones, which many languages share
# Of a script that few languages share. Names and titles in Han alone, which Japanese has too, are mostly shorter; and so
# are texts that go as too short whatever their language.
_FEWEST_OF_SCRIPT = 8
_SURE = 0.98
_ENGLISH = 0.12
_WORDS = re.compile(r"[^\W\d_]{2,}")


class Languages(NamedTuple):
    """Of n documents: a code of ISO 639-1, `und`, or `und` and a script; and for zh the script, Hans or Hant of
    ISO 15924, if it shows, else ''."""

    codes: list[str]
    scripts: list[str]


def identify_batch(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], scanned: Scanned, measures: Measures
) -> Languages:
    """The languages of a batch. By counts alone, but for texts whose letters leave it open: these go to the
    model.

    Han characters that only simplified or only traditional Chinese writes decide the script by majority.
    """
    features, histograms = kind_tables().features, scanned.histograms.astype(np.float64)
    folded, kana_share = scanned.column("folded"), measures.column("kana_share")
    han, hangul = histograms @ features[HAN], histograms @ features["hangul"]
    ideographs = han + histograms @ features[KANA]
    is_long = histograms @ features[LETTER] + ideographs >= _FEWEST_LETTERS
    rules = (
        (
            (measures.column("han_share") >= 0.3)
            & (kana_share < 0.05)
            & (is_long | (han >= _FEWEST_OF_SCRIPT)),
            "zh",
        ),
        (is_long & (measures.column("english_share") >= _ENGLISH), "en"),
        ((hangul > 0.2 * folded) & (is_long | (hangul >= _FEWEST_OF_SCRIPT)), "ko"),
        (
            (histograms @ features["japanese"] > 0.2 * folded)
            & (is_long | ((ideographs >= _FEWEST_OF_SCRIPT) & (kana_share >= 0.2))),
            "ja",
        ),
    )
    codes = np.select([found for found, _ in rules], [code for _, code in rules], "").tolist()
    for i, code in enumerate(codes):
        if not code:
            first, last = int(offsets[i]), int(offsets[i + 1])
            head = data[first : min(last, first + 4 * 8 * _SAMPLE)].tobytes()
            text = head.decode("utf-8", "ignore")  # cut inside a character, which is left out
            sure = _by_model(text) if is_long[i] else UNDETERMINED
            codes[i] = _by_script(text) if sure == UNDETERMINED else sure
    simplified, traditional = histograms @ features["simplified"], histograms @ features["traditional"]
    scripts = np.select([simplified > traditional, traditional > simplified], ["Hans", "Hant"], "").tolist()
    return Languages(
        codes, [script if code == "zh" else "" for code, script in zip(codes, scripts, strict=True)]
    )


def is_wanted(code: str, script: str, languages: Sequence[str]) -> bool:
    """Whether a document stays when only `languages` are wanted: zh takes both scripts, zh-Hans what is in it
    or in none, a language what is in its script and no more is known of.

    What is undetermined stays.
    """
    if not languages or code == UNDETERMINED or code in languages:
        return True
    if code.startswith(f"{UNDETERMINED}-"):
        return not set(languages).isdisjoint(SCRIPTS[code.partition("-")[2]].languages.split())
    scripts = [wanted.partition("-")[2] for wanted in languages if wanted.partition("-")[0] == code]
    return bool(scripts) and (not script or script in scripts)


def _by_model(text: str) -> str:
    words = _WORDS.findall(text[: 8 * _SAMPLE])
    sample = " ".join(words)[:_SAMPLE]
    language, probability = _model().classify(sample)
    return language if probability >= _SURE and language in CODES else UNDETERMINED


def _by_script(text: str) -> str:
    """The language, or the script, that half of the letters or more are in."""
    units = np.frombuffer(text.encode("utf-16-le"), np.uint16)
    _, *counts = np.bincount(_script_table()[units], minlength=len(SCRIPTS) + 2).tolist()
    most = max(counts[1:])
    if most < max(_FEWEST_OF_SCRIPT, sum(counts) / 2):
        return UNDETERMINED
    return code_of_script([*SCRIPTS][counts.index(most, 1) - 1])


@functools.cache
def _script_table() -> npt.NDArray[np.uint8]:
    """(65536,) 0: no letter, 1: a letter of no script of SCRIPTS, else its place there and 2."""
    classes = character_tables().classes
    table = np.isin(classes, (LETTER, HAN, KANA)).astype(np.uint8)
    for place, script in enumerate(SCRIPTS.values(), 2):
        for first, last in script.ranges:
            table[first : last + 1] *= place
    return table


@functools.cache
def _model() -> LanguageModel:
    return LanguageModel()
