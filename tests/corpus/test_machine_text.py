"""Word salad and template pages are told from prose, verse and tables."""

import random
from itertools import pairwise

import numpy as np
import pytest

from stemma.corpus.machine_text import MEASURES, MOST_STUFFED_WORDS, ChainModels, chains, measure
from stemma.corpus.ngram_model import Batch, NgramModel, NgramSettings
from stemma.corpus.scan import scan_texts

PROSE = (
    "The harbour lay quiet in the morning. Nobody had expected the boats back before noon, and the women "
    "on the quay were talking about the price of salt (it had risen again) and the weather. It was cold. "
    "A boy sat on a crate and watched the gulls. He had no work, but he liked the noise of the ropes."
)
HAN = "春江潮水连海平月共生滟随波千万里何处无明宛转绕芳甸照花林皆似霰空流霜不觉飞汀上白沙看见"


def batches(*texts: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    data = [text.encode() for text in texts]
    return (
        np.frombuffer(b"".join(data), np.uint8),
        np.cumsum([0, *map(len, data)]).astype(np.int64),
        *token_batch(*texts),
    )


def token_batch(*texts: str) -> Batch:
    scanned = scan_texts(texts)
    return scanned.tokens, scanned.token_offsets


def value(name: str, text: str) -> float:
    return float(measure(*batches(text))[0, MEASURES.index(name)])


def test_sentences_that_begin_inside_others_raise_the_odds_of_salad() -> None:
    words = PROSE.split()
    rng = random.Random(3)
    pieces = [" ".join(words[i : i + 4]) for i in range(len(words) - 4)]
    salad = " ".join(rng.choice(pieces) for _ in range(40))
    assert value("seams", PROSE) < -3
    assert value("seams", salad) > 2
    assert value("seams", "in the It and of The a of (x [y " * 8) > 4.5


def test_a_line_may_begin_with_a_capital_and_a_short_text_proves_little() -> None:
    verse = "And all the evening long of\nThe quiet hours we spoke and\nIt was the end of day\n" * 4
    assert value("seams", verse) < -4
    assert value("seams", "went to The") < 0


def test_full_stops_after_every_thirty_characters_are_even_cuts_and_verse_is_not() -> None:
    rng = random.Random(1)
    characters = [rng.choice(HAN) for _ in range(300)]
    cut = "".join(c + ("。" if i % 30 == 29 else "") for i, c in enumerate(characters))
    verse = "".join(c + ("，" if i % 7 == 6 else "") for i, c in enumerate(characters))
    assert value("even_cut_share", cut) == 1
    assert value("even_cut_share", verse) == 0


def test_a_page_that_says_its_keyword_over_and_over_is_stuffed() -> None:
    page = (
        "Need a good tailor in Lyon? Every Lyon tailor we list is a trusted tailor near Lyon. Ask a Lyon tailor now "
        "for your tailor price in Lyon."
    )
    assert value("stuffed_words", page) > MOST_STUFFED_WORDS
    assert value("stuffed_words", PROSE) < 0.1
    assert value("stuffed_words", page.replace("a", "a|0;")) == 0  # tables and code repeat their words
    han = "成都裁缝哪家好？成都裁缝电话多少？我们是成都专业的裁缝，成都裁缝价格优惠，成都裁缝欢迎来电咨询成都裁缝。"
    assert value("stuffed_han", han) > 0.5
    assert value("stuffed_words", han) == 0


def test_measures_do_not_depend_on_the_batch() -> None:
    texts = [PROSE, "", "月" * 40, "in the It and so", "Lyon " * 30]
    together = measure(*batches(*texts))
    assert np.array_equal(together, np.concatenate([measure(*batches(text)) for text in texts]))


def test_a_document_is_scored_by_the_model_that_has_not_seen_it_nor_its_copy() -> None:
    rng = random.Random(0)
    documents = [" ".join(f"w{rng.randrange(10**9)}" for _ in range(50)) for _ in range(40)]
    models = ChainModels.train([token_batch(*documents, *documents[:10])])
    scores = models.score(*token_batch(*documents))
    unknown = scores[:, models.models[0].columns.index("unknown")]
    assert unknown.min() == 1


@pytest.mark.parametrize("order", [1, 2])
def test_a_model_of_good_text_tells_chains_of_one_and_two_tokens_from_other_text(order: int) -> None:
    rng = random.Random(order)
    vocabulary = [f"w{i}" for i in range(60)]
    phrases = [rng.choices(vocabulary, k=6) for _ in range(1500)]
    documents = [[word for phrase in rng.choices(phrases, k=60) for word in phrase] for _ in range(200)]
    known, other = documents[:150], documents[150:]
    followers: dict[tuple[str, ...], list[str]] = {}
    for document in known:
        for i in range(len(document) - order):
            followers.setdefault(tuple(document[i : i + order]), []).append(document[i + order])
    made: list[list[str]] = []
    for _ in range(30):
        chain = rng.choice(known)[:order]
        while len(chain) < 300:
            found = followers.get(tuple(chain[-order:]))
            chain += [rng.choice(found)] if found else rng.choice(known)[:order]
        made.append(chain)
    model = NgramModel.train([token_batch(*map(" ".join, known))])
    signs = {}
    for name, texts in (("made", made), ("other", other), ("short", [made[0][:40]])):
        batch = token_batch(*map(" ".join, texts))
        signs[name] = chains(model, model.score(*batch), batch[1])[:, order - 1]
    assert signs["made"].min() > signs["other"].max()
    assert np.isnan(signs["short"]).all()
    small = NgramModel.train([token_batch(*map(" ".join, known))], NgramSettings(order=order + 1))
    batch = token_batch(*map(" ".join, made))
    assert np.isnan(chains(small, small.score(*batch), batch[1])[:, order - 1]).all()


def test_chains_of_the_corpus_are_told_from_its_documents() -> None:
    rng = random.Random(2)
    sentences = [" ".join(f"w{rng.randrange(300)}" for _ in range(12)) for _ in range(150)]
    documents = [" ".join(rng.choices(sentences, k=30)) for _ in range(80)]
    words = " ".join(documents).split()
    followers: dict[str, list[str]] = {}
    for left, right in pairwise(words):
        followers.setdefault(left, []).append(right)
    chains: list[str] = []
    for _ in range(10):
        chain = [rng.choice(words)]
        while len(chain) < 300:
            chain.append(rng.choice(followers[chain[-1]]))
        chains.append(" ".join(chain))
    models = ChainModels.train([token_batch(*documents)])
    assert models.chain_like(models.score(*token_batch(*chains))).all()
    assert not models.chain_like(models.score(*token_batch(*documents))).any()
