"""The language model of py3langid (Lui and Baldwin 2012), walked by compiled code: its own walk takes a millisecond a text.

The model is a table of byte n-grams found by an automaton, and naive Bayes over them; it ships inside that package.
"""

import math
import unicodedata
from typing import Any

import numpy as np
from numba import njit


class LanguageModel:
    """Reads the model once (about 0.5 s, 90 MB)."""

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._moves = np.frombuffer(model.tk_nextmove, np.dtype(model.tk_nextmove.typecode))
        self._rows = np.array(model.tk_row, np.int64) << 8
        self._features = np.array(model.tk_output, np.int64)
        self._table, self._prior = model.nb_ptc.astype(np.float32), model.nb_pc
        self.languages = tuple(model.nb_classes)
        first = {language: place for place, language in reversed([*enumerate(self.languages)])}
        self._same = [(first[name], i) for i, name in enumerate(self.languages) if first[name] != i]

    def classify(self, text: str) -> tuple[str, float]:
        """(language, its probability) as py3langid gives them."""
        text = text.lower() if text.isupper() else text
        data = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
        walk = self._moves, self._rows, self._features, self._table, self._prior
        scores = _scores(np.frombuffer(data, np.uint8), *walk)
        if not len(scores):
            return self.languages[0], 1 / len(self.languages)
        scores *= 1 / math.sqrt(len(data))
        np.exp(scores - scores.max(), out=scores)
        scores /= scores.sum()
        for one, other in self._same:  # two writings of one language
            scores[one] += scores[other]
            scores[other] = 0
        best = int(scores.argmax())
        return self.languages[best], float(scores[best])


@njit(cache=True, nogil=True)
def _scores(text: Any, moves: Any, rows: Any, features: Any, table: Any, prior: Any) -> Any:
    """log P of each language up to a constant: a feature counts with log(1 + how often it is met). Empty without any."""
    found = np.empty(len(text), np.int64)
    state, count = np.int64(0), 0
    for byte in text:
        state = np.int64(moves[rows[state] + byte])
        if features[state] >= 0:
            found[count] = features[state]
            count += 1
    if not count:
        return np.empty(0, np.float32)
    found = np.sort(found[:count])
    scores, first = prior.copy(), 0
    for i in range(1, count + 1):
        if i == count or found[i] != found[first]:
            weight = np.float32(np.log1p(i - first))
            for language in range(len(scores)):
                scores[language] += weight * table[found[first], language]
            first = i
    return scores
