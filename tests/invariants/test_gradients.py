"""However a batch is cut, packed or split, its gradient is the same."""

import pytest
import torch

from stemma.data.batch import make_batch
from stemma.data.chat import split_last_answers
from stemma.data.pack import PackedRows
from stemma.data.sample import Sample, pad
from stemma.model.init import initialize
from stemma.model.transformer import Transformer
from stemma.train.loop import batch_loss
from stemma.train.loss import Normaliser

TOLERANCE = 1e-6


def sum_gradient(spec, samples: list[Sample], z_positions: float | None = None):
    """Gradient of the plain sum of the losses of `samples`, each in one row; max-z counted over their own positions."""
    model = initialize(Transformer(spec), 0, std=0.2)
    length = max(map(len, samples))
    batch = make_batch([pad(s, length) for s in samples])
    positions = z_positions or float(sum(int((s.segment_ids > 0).sum()) for s in samples))
    batch_loss(model, batch, Normaliser(100.0, positions)).objective.backward()
    return torch.cat([p.grad.double().flatten() for p in model.parameters()])


def test_packed_gradient_equals_unpacked_gradient(spec, packed, relative_difference):
    together = sum_gradient(spec, [packed.sample(row) for row in range(len(packed))])
    apart = sum_gradient(spec, [packed.session(n) for n in range(len(packed.shards.starts))])
    assert any(packed.sample(row).segment_ids.max() > 1 for row in range(len(packed)))
    assert relative_difference(together, apart) < TOLERANCE


def test_the_packing_check_sees_a_leak(spec, packed, relative_difference):
    leaking = PackedRows(packed.shards, packed.sequence_length, leak=True)
    together = sum_gradient(spec, [leaking.sample(row) for row in range(len(leaking))])
    apart = sum_gradient(spec, [packed.session(n) for n in range(len(packed.shards.starts))])
    assert relative_difference(together, apart) > 1e-3


@pytest.mark.parametrize("micro_batch_size", [1, 2, 3, 4])
def test_micro_batches_of_any_size_give_the_gradient_of_the_whole_batch(
    tmp_path, spec, packed, train, gradient_of, relative_difference, micro_batch_size
):
    whole = train(tmp_path / "whole", spec, packed, batch_size=7, micro_batch_size=7)
    cut = train(tmp_path / "cut", spec, packed, batch_size=7, micro_batch_size=micro_batch_size)
    assert relative_difference(gradient_of(cut), gradient_of(whole)) < TOLERANCE


def test_a_short_last_batch_is_divided_by_its_own_weight(
    tmp_path, spec, packed, train, gradient_of, relative_difference
):
    whole = train(tmp_path / "whole", spec, packed, limit=3, batch_size=4, micro_batch_size=4)
    cut = train(tmp_path / "cut", spec, packed, limit=3, batch_size=4, micro_batch_size=2)
    assert relative_difference(gradient_of(cut), gradient_of(whole)) < TOLERANCE


def test_a_session_equals_its_last_answers_split_off(spec, sessions, relative_difference):
    """Under the sum of token losses; max-z is left out, because splitting repeats positions."""
    import dataclasses

    plain = dataclasses.replace(spec, head=dataclasses.replace(spec.head, max_z_weight=0.0))
    rows = PackedRows(sessions, 48)
    whole, split = [], []
    for number in range(len(sessions.starts)):
        ids, mask = sessions.document(number)
        whole.append(rows.session(number))
        split += split_last_answers(ids, mask)
    assert len(split) > len(whole)
    assert relative_difference(sum_gradient(plain, split), sum_gradient(plain, whole)) < TOLERANCE


def test_a_document_does_not_see_the_one_before_it(spec, documents):
    row = next(r for r in range(len(documents)) if documents.sample(r).segment_ids.max() > 1)
    sample = documents.sample(row)
    second = sample.segment_ids == 2
    model = initialize(Transformer(spec), 0, std=0.2)
    batch = make_batch([sample])
    changed = batch.token_ids.clone()
    changed[0, torch.from_numpy(sample.segment_ids == 1)] = 1

    def states(token_ids, segment_ids):
        with torch.no_grad():
            return model.hidden(token_ids, position_ids=batch.position_ids, segment_ids=segment_ids)[
                0, second
            ]

    assert torch.equal(states(batch.token_ids, batch.segment_ids), states(changed, batch.segment_ids))
    assert not torch.equal(states(batch.token_ids, None), states(changed, None))
