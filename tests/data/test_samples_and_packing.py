import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.data.batch import make_batch
from stemma.data.pack import pack
from stemma.data.sample import causal_sample, concatenate, pad
from stemma.errors import StemmaError


def sample(ids, targets=None):
    mask = np.ones(len(ids), bool) if targets is None else np.array(targets, bool)
    return causal_sample(np.array(ids, np.int32), mask)


def test_a_position_predicts_the_next_token_where_the_mask_says_so():
    made = sample([5, 6, 7, 8], [False, False, True, False])
    assert made.token_ids.tolist() == [5, 6, 7]
    assert made.weights.tolist() == [0, 1, 0]
    assert made.targets.tolist() == [0, 7, 0]


def test_joined_samples_keep_their_positions_and_get_segments_of_their_own():
    joined = pad(concatenate([sample([1, 2, 3]), sample([4, 5])]), 5)
    assert joined.segment_ids.tolist() == [1, 1, 2, 0, 0]
    assert joined.position_ids.tolist() == [[0, 1, 0, 0, 0]]
    assert joined.weights.tolist() == [1, 1, 1, 0, 0]
    assert concatenate([joined, sample([6, 7])]).segment_ids.tolist() == [1, 1, 2, 0, 0, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.array([1, -1, 0], np.float32)},
        {"weights": np.ones(3, np.float64)},
        {"targets": np.zeros(2, np.int32)},
        {"segment_ids": np.zeros(3, np.int32)},
    ],
)
def test_a_malformed_sample_is_refused(change):
    with pytest.raises(StemmaError, match="sample"):
        dataclasses.replace(sample([1, 2, 3, 4]), **change)


def test_a_sample_longer_than_the_row_is_refused():
    with pytest.raises(StemmaError, match="do not fit"):
        pad(sample([1, 2, 3, 4]), 2)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=150))
def test_packing_places_every_sample_once_in_few_rows(lengths):
    rows = pack(lengths, 64)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    filled = [sum(lengths[n] for n in row) for row in rows]
    assert max(filled) <= 64
    # A row is begun only with a sample that fits none of the rows before it.
    for number, row in enumerate(rows):
        assert all(before + lengths[row[0]] > 64 for before in filled[:number])
    assert pack(lengths, 64) == rows


def test_packing_takes_the_fullest_row_that_has_room():
    assert pack([6, 5, 4, 3, 2], 10) == [[0, 2], [1, 3, 4]]


def test_packing_refuses_what_fits_no_row():
    with pytest.raises(StemmaError, match="65 tokens does not fit rows of 64"):
        pack([3, 65], 64)


def test_a_batch_of_plain_rows_carries_no_masks():
    batch = make_batch([sample([1, 2, 3]), sample([4, 5, 6])])
    assert batch.segment_ids is None
    assert batch.position_ids is None
    assert batch.prefix_lengths is None
    assert batch.real.all()


def test_a_batch_with_padding_carries_segments_and_positions():
    batch = make_batch([pad(sample([1, 2]), 3), sample([4, 5, 6, 7])])
    assert batch.segment_ids is not None
    assert batch.segment_ids.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.position_ids is not None
    assert batch.position_ids.tolist() == [[0, 0, 0], [0, 1, 2]]
    assert batch.real.sum() == 4
