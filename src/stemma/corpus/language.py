"""Which language a text is in: by script where the script says it, by a trained model where letters are Latin
and doubtful.

Han without kana is zh, kana ja, Hangul ko; Latin text in which common English words are as frequent as in
English is en. What is left goes to the model of py3langid (Lui and Baldwin 2012), which ships inside its
package, on the first part of the text; a verdict it is not sure of is `und`, undetermined, and so are texts
of few letters and most source code. Chinese is told apart by the characters that only one of its two writings
has.
"""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stemma.corpus.characters import HAN, KANA, LETTER, kind_tables
from stemma.corpus.language_model import LanguageModel
from stemma.corpus.measures import Measures
from stemma.corpus.scan import Scanned

UNDETERMINED = "und"
_SAMPLE = 800
_FEWEST_LETTERS = 40
_SURE = 0.98
_ENGLISH = 0.12
_WORDS = re.compile(r"[^\W\d_]{2,}")


class Languages(NamedTuple):
    """Of n documents: a code of ISO 639-1 or `und`, and for zh the script, Hans or Hant of ISO 15924, if it
    shows, else ''."""

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
    folded = scanned.column("folded")
    letters = histograms @ (features[LETTER] + features[HAN] + features[KANA])
    is_zh = (measures.column("han_share") >= 0.3) & (measures.column("kana_share") < 0.05)
    rules = (
        (letters < _FEWEST_LETTERS, UNDETERMINED),
        (is_zh, "zh"),
        (measures.column("english_share") >= _ENGLISH, "en"),
        (histograms @ features["hangul"] > 0.2 * folded, "ko"),
        (histograms @ features["japanese"] > 0.2 * folded, "ja"),
    )
    codes = np.select([found for found, _ in rules], [code for _, code in rules], "").tolist()
    for i, code in enumerate(codes):
        if not code:
            first, last = int(offsets[i]), int(offsets[i + 1])
            head = data[first : min(last, first + 4 * 8 * _SAMPLE)].tobytes()
            codes[i] = _by_model(head.decode("utf-8", "ignore"))  # cut inside a character, which is left out
    simplified, traditional = histograms @ features["simplified"], histograms @ features["traditional"]
    scripts = np.select([simplified > traditional, traditional > simplified], ["Hans", "Hant"], "").tolist()
    return Languages(
        codes, [script if code == "zh" else "" for code, script in zip(codes, scripts, strict=True)]
    )


def is_wanted(code: str, script: str, languages: Sequence[str]) -> bool:
    """Whether a document stays when only `languages` are wanted: zh takes both scripts, zh-Hans what is in it
    or in none.

    What is undetermined stays.
    """
    if not languages or code == UNDETERMINED or code in languages:
        return True
    scripts = [wanted.partition("-")[2] for wanted in languages if wanted.partition("-")[0] == code]
    return bool(scripts) and (not script or script in scripts)


def _by_model(text: str) -> str:
    words = _WORDS.findall(text[: 8 * _SAMPLE])
    sample = " ".join(words)[:_SAMPLE]
    language, probability = _model().classify(sample)
    return language if probability >= _SURE else UNDETERMINED


@functools.cache
def _model() -> LanguageModel:
    return LanguageModel()
