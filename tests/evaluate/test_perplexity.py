import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemma.errors import StemmaError
from stemma.evaluate.perplexity import DomainText, bits_per_byte, windows
from stemma.evaluate.texts import read_texts
from stemma.generate.language_model import LanguageModel


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_every_token_is_scored_once_with_enough_before_it(
    length: int, window: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, window))
    scored: list[int] = []
    for begin, end, first in windows(length, 1, window, stride):
        assert 0 <= begin < first <= end <= length
        assert end - begin <= window + 1
        for target in range(first, end):
            assert begin == 0 or target - begin >= min(target, window - stride)
        scored += range(first, end)
    assert scored == list(range(1, length))


def test_bits_per_byte_equals_a_computation_by_hand(language_model: LanguageModel) -> None:
    text = "Anna lives in 里昂."
    tokenizer = language_model.tokenizer
    ids = [tokenizer.id_of("<|endoftext|>"), *tokenizer.encode(text)]
    with torch.inference_mode():
        logits = language_model.model(torch.tensor([ids]))[0]
    nats = 0.0
    for place, token in enumerate(ids[1:]):
        row = logits[place].double()
        nats -= float(row[token]) - math.log(float(row.exp().sum()))
    score = bits_per_byte(language_model.model, tokenizer, [DomainText("x", text)], ids[:1])["x"]
    num_bytes = len(text) - 2 + 6  # two Han characters of three bytes each
    assert (score.tokens, score.bytes, score.documents) == (len(ids) - 1, num_bytes, 1)
    assert score.loss == pytest.approx(nats / (len(ids) - 1), rel=1e-6)
    assert score.bits_per_byte == pytest.approx(nats / math.log(2) / num_bytes, rel=1e-6)


def test_without_a_start_token_the_first_token_and_its_bytes_are_not_counted(
    language_model: LanguageModel,
) -> None:
    tokenizer = language_model.tokenizer
    ids = tokenizer.encode("Anna lives in Lyon")
    score = bits_per_byte(language_model.model, tokenizer, [DomainText("x", "Anna lives in Lyon")], [])["x"]
    assert score.tokens == len(ids) - 1
    assert score.bytes == 18 - len(tokenizer.token_bytes(ids[0]))


def test_stride_and_batching_change_nothing_when_the_window_holds_the_document(
    language_model: LanguageModel,
) -> None:
    texts = [DomainText("en", "Anna keeps bees. " * n) for n in (1, 3, 2)] + [
        DomainText("zh", "安娜住在里昂。")
    ]
    runs = [
        bits_per_byte(
            language_model.model, language_model.tokenizer, texts, [0], stride=s, max_batch_tokens=m
        )
        for s, m in ((64, 8192), (1, 8192), (128, 1))
    ]
    assert list(runs[0]) == ["en", "zh", "all"]
    for run in runs[1:]:
        for name, score in run.items():
            assert score.loss == pytest.approx(runs[0][name].loss, rel=1e-6)
            assert score.tokens == runs[0][name].tokens


def test_long_documents_are_scored_whole_and_more_context_changes_the_number(
    language_model: LanguageModel,
) -> None:
    text = "Anna lives in Lyon and keeps bees, Tom in Oslo keeps none. " * 20
    model, tokenizer = language_model.model, language_model.tokenizer
    count = len(tokenizer.encode(text))
    assert count > model.spec.max_seq_len
    full, short = (
        bits_per_byte(model, tokenizer, [DomainText("x", text)], [0], window=w, stride=8)["x"]
        for w in (128, 16)
    )
    assert full.tokens == short.tokens == count
    assert full.loss != pytest.approx(short.loss, rel=1e-4)


def test_nothing_to_score_and_a_stride_over_the_window_are_refused(language_model: LanguageModel) -> None:
    model, tokenizer = language_model.model, language_model.tokenizer
    with pytest.raises(StemmaError, match="no document"):
        bits_per_byte(model, tokenizer, [DomainText("x", "")], [0])
    with pytest.raises(StemmaError, match="stride is 129"):
        bits_per_byte(model, tokenizer, [DomainText("x", "a")], [0], stride=129)


def test_domains_come_from_the_name_then_the_record_then_the_file(tmp_path: Path) -> None:
    records = [{"text": "a", "domain": "news", "lang": "en"}, {"text": "b", "lang": "zh"}, {"text": "c"}]
    path = tmp_path / "held.out.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in records))
    assert [t.domain for t in read_texts([str(path)])] == ["news", "zh", "held"]
    assert [t.domain for t in read_texts([f"mine={path}"])] == ["mine"] * 3
    with pytest.raises(StemmaError, match="line 1: has no field 'text'"):
        path.write_text('{"body": 1}')
        list(read_texts([str(path)]))


def test_rolling_perplexity_equals_the_recorded_reference(shared: Path) -> None:
    """Windows of the whole context without overlap, from BOS: recorded by another implementation."""
    from stemma.generate.language_model import load_language_model

    golden = shared / "golden-eval"
    model = load_language_model(golden / "model", device="cpu")
    texts = [json.loads(line)["text"] for line in (golden / "data" / "ppl.jsonl").open(encoding="utf-8")]
    recorded = [
        json.loads(line) for line in (golden / "results" / "plain__g_ppl.jsonl").open(encoding="utf-8")
    ]
    found = bits_per_byte(
        model.model,
        model.tokenizer,
        [DomainText(str(i), text) for i, text in enumerate(texts)],
        model.document_start,
        stride=model.model.spec.max_seq_len,
    )
    assert found["all"].bits_per_byte == pytest.approx(2.87612, abs=5e-6)
    for index, line in enumerate(recorded):
        score = found[str(index)]
        assert -score.loss * score.tokens == pytest.approx(line["ll"], abs=1e-2)
        assert score.bytes == line["bytes"]
