"""Hashes that compiled loops share: equal for equal runs of tokens and for no others; tables that find what they hold."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from stemma.corpus.hashing import extend, find_slot, ngram_hashes


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 6))
def test_equal_runs_of_tokens_have_equal_hashes_and_others_do_not(values: list[int], n: int) -> None:
    hashes = ngram_hashes(np.array(values, np.uint64) + np.uint64(17), n)
    if len(values) >= n:
        runs = [tuple(values[i : i + n]) for i in range(len(values) - n + 1)]
        assert len(set(hashes.tolist())) == len(set(runs))
        assert all((hashes[i] == hashes[0]) == (runs[i] == runs[0]) for i in range(len(runs)))
    else:
        assert len(hashes) == min(len(values), 1)


@njit
def _hash(run: Any) -> Any:
    value = np.uint64(0)
    for token in run:
        value = extend(value, token)
    return value


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.lists(st.integers(0, 2), max_size=5), max_size=20))
def test_runs_made_a_token_at_a_time_have_a_hash_of_their_own(runs: list[list[int]]) -> None:
    hashes = {tuple(run): _hash(np.array(run, np.uint64) + np.uint64(17)) for run in runs}
    assert len(set(hashes.values())) == len(hashes)
    assert all((value == 0) == (run == ()) for run, value in hashes.items())


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(1, 2**64 - 1), max_size=12, unique=True))
def test_a_table_finds_what_it_holds(keys: list[int]) -> None:
    table = np.zeros(16, np.uint64)
    places = []
    for key in np.array(keys, np.uint64):
        places.append(find_slot(table, key))
        assert table[places[-1]] == 0
        table[places[-1]] = key
    assert [find_slot(table, key) for key in np.array(keys, np.uint64)] == places
