import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.evaluate.scoring import (
    Scored,
    batches_by_length,
    candidate_log_probabilities,
    sequence_log_probabilities,
    shared_length,
)
from stemma.generate.language_model import LanguageModel, load_language_model
from stemma.model.spec import DynamicScaling, RopeSpec
from stemma.model.transformer import Transformer


def naive(model: Transformer, scored: Scored) -> torch.Tensor:
    """One full forward, every position through the head, in fp64."""
    with torch.inference_mode():
        logits = model(torch.tensor([list(scored.ids)]))[0].double()
    values = logits.log_softmax(-1)[:-1].gather(-1, torch.tensor(scored.ids[1:])[:, None])[:, 0]
    return values[scored.first - 1 :]


IDS = st.lists(st.integers(0, 300), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(contexts=st.lists(IDS, min_size=1, max_size=4), choices=st.lists(IDS, min_size=1, max_size=4))
def test_choices_continued_from_the_shared_context_score_as_in_whole_forwards(
    language_model: LanguageModel, contexts: list[list[int]], choices: list[list[int]]
) -> None:
    questions = [[Scored([*context, *choice], len(context)) for choice in choices] for context in contexts]
    found = candidate_log_probabilities(language_model.model, questions, max_tokens=100)
    for scores, candidates in zip(found, questions, strict=True):
        expected = [float(naive(language_model.model, c).sum()) for c in candidates]
        assert scores == pytest.approx(expected, abs=1e-5 * max(len(c.ids) for c in candidates))


def test_candidates_that_differ_before_the_scored_part_share_only_what_is_equal(
    language_model: LanguageModel,
) -> None:
    candidates = [Scored([1, 2, 3, 4, 5], 4), Scored([1, 2, 9, 4], 3), Scored([1, 2, 3, 4, 5, 6], 4)]
    assert shared_length(candidates) == 2
    assert (
        shared_length([Scored([1, 2, 3, 4], 2), Scored([1, 2, 3, 5], 3)]) == 2
    )  # what is scored is not shared
    (found,) = candidate_log_probabilities(language_model.model, [candidates])
    assert found == pytest.approx([float(naive(language_model.model, c).sum()) for c in candidates], abs=1e-5)


def test_scores_do_not_depend_on_the_batch(language_model: LanguageModel) -> None:
    sequences = [Scored(list(range(3, 3 + n)), 1 + n // 3) for n in (2, 30, 7, 100, 1, 55)]
    for max_tokens in (1, 64, 100000):
        found = sequence_log_probabilities(language_model.model, sequences, max_tokens)
        for values, scored in zip(found, sequences, strict=True):
            torch.testing.assert_close(values, naive(language_model.model, scored), atol=1e-5, rtol=0)


def test_under_dynamic_ntk_rows_of_different_length_do_not_disturb_each_other(
    language_model: LanguageModel,
) -> None:
    spec = language_model.model.spec
    rope = RopeSpec(scaling=DynamicScaling(factor=2.0, original_max_seq_len=8))
    block = dataclasses.replace(
        spec.blocks[0], attention=dataclasses.replace(spec.blocks[0].attention, position=rope)
    )
    model = Transformer(dataclasses.replace(spec, blocks=(block,)))
    model.load_state_dict(language_model.model.state_dict())
    sequences = [Scored(list(range(3, 3 + n)), 1) for n in (6, 30, 12)]
    for values, scored in zip(sequence_log_probabilities(model, sequences), sequences, strict=True):
        # The last token is never fed when scoring, so the naive forward must not see it either.
        shorter = Scored(scored.ids[:-1], 1)
        torch.testing.assert_close(values[:-1], naive(model, shorter), atol=1e-5, rtol=0)


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 200))
def test_batches_hold_every_index_once_within_the_budget(lengths: list[int], max_tokens: int) -> None:
    batches = batches_by_length(lengths, max_tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= max_tokens


def test_choices_of_recorded_questions_score_as_the_reference_recorded_them(shared: Path) -> None:
    golden = shared / "golden-eval"
    loaded = load_language_model(golden / "model", device="cpu")
    documents = [json.loads(line) for line in (golden / "data" / "openbookqa.jsonl").open(encoding="utf-8")]
    recorded = [
        json.loads(line) for line in (golden / "results" / "plain__g_openbookqa.jsonl").open(encoding="utf-8")
    ]
    questions = []
    for document in documents:
        context = len(loaded.tokenizer.encode(document["question_stem"]))
        texts = [f"{document['question_stem']} {choice}" for choice in document["choices"]]
        questions.append([Scored(loaded.tokenizer.encode(text), context) for text in texts])
    found = candidate_log_probabilities(loaded.model, questions)
    assert len(found) == len(recorded) == 100
    for scores, line, candidates in zip(found, recorded, questions, strict=True):
        assert [list(c.ids[c.first :]) for c in candidates] == [r["cont_ids"] for r in line["requests"]]
        assert scores == pytest.approx([request["ll"] for request in line["requests"]], abs=1e-4)
        assert scores.index(max(scores)) == line["pred"]
