import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.data.order import batch_items, permute


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**63 - 1), st.integers(0, 5))
def test_every_item_comes_once(num_items, seed, epoch):
    assert sorted(permute(np.arange(num_items), num_items, seed, epoch)) == list(range(num_items))


def test_epochs_and_seeds_are_ordered_differently():
    orders = [tuple(permute(np.arange(50), 50, seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    assert len(set(orders)) == 9
    assert tuple(range(50)) not in orders


def test_the_order_is_a_function_of_the_index_alone():
    whole = permute(np.arange(1000), 1000, 7)
    assert permute(np.array([17, 900]), 1000, 7).tolist() == whole[[17, 900]].tolist()


def test_an_order_of_a_trillion_items_needs_no_memory():
    found = permute(np.arange(5), 10**12, 3)
    assert len(set(found.tolist())) == 5
    assert 0 <= found.min() <= found.max() < 10**12


def test_batches_cover_each_epoch_once_and_may_span_two():
    batches = [batch_items(step, 4, 10, 1) for step in range(5)]
    drawn = np.concatenate(batches)
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()


def test_the_last_batch_ends_at_the_limit():
    assert [len(batch_items(step, 4, 10, 1, limit=10)) for step in range(4)] == [4, 4, 2, 0]


def test_the_order_of_a_seed_never_changes():
    """Resuming a run started by another version depends on these numbers."""
    assert permute(np.arange(8), 8, 0).tolist() == EXPECTED


EXPECTED = [2, 4, 1, 0, 7, 5, 3, 6]


@pytest.mark.parametrize("num_items", [1, 2, 3])
def test_tiny_sets_work(num_items):
    assert sorted(permute(np.arange(num_items), num_items, 9)) == list(range(num_items))
