"""Which language a text is in: by script where the script says it, by a trained model where letters are Latin and doubtful.

Han without kana is zh, kana ja, Hangul ko; Latin text in which common English words are as frequent as in English is en.
What is left goes to the model of py3langid (Lui and Baldwin 2012), which ships inside its package, on the first part of
the text; a verdict it is not sure of is `und`, undetermined, and so are texts of few letters and most source code.
"""

import functools
import re
from typing import Any

import numpy as np

from stemma.corpus.annotate import Annotation
from stemma.corpus.scan import Scan

UNDETERMINED = "und"
_SAMPLE = 800
_FEWEST_LETTERS = 40
_SURE = 0.98
_ENGLISH = 0.12
_WORDS = re.compile(r"[^\W\d_]{2,}")
# Pages of 256 code points that one script has to itself.
_SCRIPTS = {"ko": (0x11, *range(0xAC, 0xD8)), "ja": (0x30,)}


def identify(text: str, scanned: Scan, numbers: Annotation) -> str:
    """The language of a text as a code of ISO 639-1, or `und`."""
    if numbers.characters * numbers.letter_share < _FEWEST_LETTERS:
        return UNDETERMINED
    if numbers.han_share >= 0.3 and numbers.kana_share < 0.05:
        return "zh"
    if numbers.english_share >= _ENGLISH:
        return "en"
    pages = np.bincount(np.minimum(scanned.folded >> 8, 0xFF), minlength=256)
    for language, own in _SCRIPTS.items():
        if pages[list(own)].sum() > 0.2 * len(scanned.folded):
            return language
    return _by_model(text)


def _by_model(text: str) -> str:
    words = _WORDS.findall(text[: 8 * _SAMPLE])
    sample = " ".join(words)[:_SAMPLE]
    language, probability = _model().classify(sample)
    return str(language) if float(probability) >= _SURE else UNDETERMINED


@functools.cache
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
