"""Histograms of measures: every document once, in the bin of its value, before and after."""

import numpy as np

from stemma.corpus.columns import MEASURES
from stemma.corpus.curves import EDGES, count_broken, histograms
from stemma.corpus.decide import Limit
from stemma.corpus.measures import GROUPS

LONG_ENOUGH = Limit("too_short", "characters", least=20, group="en")
CHARACTERS = MEASURES.index("characters")


def values_of(characters: list[float]) -> np.ndarray:
    values = np.full((len(characters), len(MEASURES)), np.nan, np.float32)
    values[:, CHARACTERS] = characters
    return values


def test_a_histogram_counts_before_and_after_and_leaves_out_what_is_not_known() -> None:
    en, zh = GROUPS.index("en"), GROUPS.index("zh")
    values = values_of([10, 10, 1000, np.nan, 0, 10])
    groups = np.array([en, en, en, en, en, zh], np.uint8)
    kept = np.array([False, True, True, True, False, False])
    found = histograms(values, groups, kept, [LONG_ENOUGH])
    at = {value: str(int((value >= EDGES).sum())) for value in (0, 10, 1000)}
    assert found["en.characters"] == {at[0]: [1, 0], at[10]: [2, 1], at[1000]: [1, 1]}
    assert found["zh.characters"] == {at[10]: [1, 0]}
    assert set(found) == {"en.characters", "zh.characters"}


def test_a_limit_counts_the_documents_of_its_table_only() -> None:
    groups = np.array([GROUPS.index("en"), GROUPS.index("zh"), GROUPS.index("en")], np.uint8)
    assert count_broken(values_of([10, 10, 30]), groups, [LONG_ENOUGH]) == {LONG_ENOUGH.name: 1}
