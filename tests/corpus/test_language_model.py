"""The compiled walk over the language model gives what its own package gives."""

import numpy as np
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from stemma.corpus.language_model import LanguageModel

TEXTS = [
    "Der alte Leuchtturm stand seit hundert Jahren auf der Klippe und niemand wusste, wer ihn gebaut hatte.",
    "Un vieux chien dormait près de la lampe oubliée par le gardien du phare, au bord de la mer.",
    "El puerto despertó antes que el sol y los hombres que remendaban redes ya estaban trabajando.",
    "清晨的港口还没有醒来，补网的人已经开始干活。",
    "Старый маяк стоял на скале уже сто лет.",
    "def scan(data, offsets): return [len(x) for x in data]",
    "ALL OF THIS IS WRITTEN IN CAPITAL LETTERS, AND IT IS ENGLISH.",
    "é",
]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel()


def test_languages_and_probabilities_are_the_packages(model: LanguageModel) -> None:
    theirs = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    for text in TEXTS:
        language, probability = theirs.classify(text)
        assert model.classify(text)[0] == language, text
        assert model.classify(text)[1] == pytest.approx(float(probability), abs=1e-3)
    assert [model.classify(text)[0] for text in TEXTS[:5]] == ["de", "fr", "es", "zh", "ru"]


@pytest.mark.parametrize("text", ["", "12 34", "\x00"])
def test_a_text_that_says_nothing_has_no_likely_language(model: LanguageModel, text: str) -> None:
    assert model.classify(text)[1] == pytest.approx(1 / len(model.languages), abs=0.01)


def test_a_random_string_of_bytes_is_classified_without_reading_outside(model: LanguageModel) -> None:
    text = np.random.default_rng(1).integers(0, 256, 20_000, dtype=np.uint8).tobytes().decode("latin-1")
    assert model.classify(text)[0] in model.languages
