import json
from fractions import Fraction

import numpy as np
import pytest

import stemma.tokenizer.template
from stemma.data.chat import loss_weights, session_sample, split_last_answers, tokenize_dialogues
from stemma.data.pack import PackedRows
from stemma.errors import StemmaError
from stemma.tokenizer.template import ChatTokens


@pytest.mark.parametrize(
    ("normalise", "layout", "expected"),
    [
        ("sample", "session", (Fraction(2, 3), Fraction(1, 6), Fraction(1, 6))),
        ("sample", "split_all", (Fraction(17, 24), Fraction(5, 24), Fraction(1, 12))),
        ("sample", "split_last", (Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))),
        ("token", "session", (Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))),
        ("token", "split_last", (Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))),
        ("turn", "session", (Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))),
    ],
)
def test_loss_weights_of_one_and_three_turns(normalise, layout, expected):
    assert loss_weights([1, 3], normalise, layout) == expected


def test_loss_weights_count_tokens_unless_told_otherwise():
    assert loss_weights([[30, 10]], "token") == (Fraction(3, 4), Fraction(1, 4))
    assert loss_weights([[30, 10]], "turn") == (Fraction(1, 2), Fraction(1, 2))
    with pytest.raises(StemmaError, match="at least one answer"):
        loss_weights([[3], [0]])


MASK = np.array([0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1], bool)
IDS = np.arange(20, 31, dtype=np.int32)


@pytest.mark.parametrize(
    ("normalise", "weights"), [("token", [1, 1, 1]), ("sample", [1 / 6] * 3), ("turn", [1 / 2, 1, 1 / 3])]
)
def test_answers_weigh_what_the_normalisation_says(normalise, weights):
    sample = session_sample(IDS, MASK, normalise)
    assert sample.weights[[1, 4, 7]] == pytest.approx(weights)
    assert np.flatnonzero(sample.weights).tolist() == [1, 2, 4, 7, 8, 9]


def test_the_weights_of_samples_are_those_of_the_formula():
    one = session_sample(IDS[:4], MASK[:4], "sample")
    three = session_sample(np.arange(6, dtype=np.int32), np.array([0, 1, 0, 1, 0, 1], bool), "sample")
    total = one.weights.sum() + three.weights.sum()
    found = [
        (one.weights.sum() + three.weights[0]) / total,
        three.weights[2] / total,
        three.weights[4] / total,
    ]
    assert found == pytest.approx([float(w) for w in loss_weights([1, 3], "sample")])


def test_splitting_gives_one_sample_per_answer_with_all_that_came_before():
    samples = split_last_answers(IDS, MASK)
    assert [len(s) for s in samples] == [3, 5, 10]
    assert [s.targets[s.weights > 0].tolist() for s in samples] == [[22, 23], [25], [28, 29, 30]]


class Bytes:
    vocab_size, fingerprint = 300, "bytes"


class Template:
    one_answer = False
    source, stop_tokens = "role: content", ("<stop>",)


@pytest.fixture
def bytes_template(monkeypatch):
    """Every message is a role token, its bytes, and for the assistant a stop token that is learned."""

    def encode_chat(tokenizer, template, messages, answers="all"):
        ids, mask = [], []
        for number, message in enumerate(messages, 1):
            answer = message["role"] == "assistant" and (answers == "all" or number == len(messages))
            text = list(message["content"].encode()) + [299] * answer
            ids += [256 + answer, *text]
            mask += [False, *[answer] * len(text)]
        return ChatTokens(ids, mask)

    monkeypatch.setattr(stemma.tokenizer.template, "encode_chat", encode_chat)


def dialogue(*contents):
    return {
        "messages": [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]
    }


def write(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def test_targets_are_the_answers_and_their_stop_tokens(tmp_path, bytes_template):
    path = write(tmp_path / "d.jsonl", dialogue("ab", "cd", "e", "f"))
    shards = tokenize_dialogues(tmp_path / "t", [path], Bytes(), Template(), 64)
    sample = PackedRows(shards, 16).sample(0)
    assert sample.targets[sample.weights > 0].tolist() == [*b"cd", 299, *b"f", 299]
    assert shards.bytes_per_target == 3 / 5


def test_a_format_that_rewrites_old_answers_gives_a_sample_per_answer_that_learns_the_last(
    tmp_path, bytes_template, monkeypatch
):
    monkeypatch.setattr(Template, "one_answer", True)
    path = write(tmp_path / "d.jsonl", dialogue("ab", "cd", "e", "f", "g"))
    shards = tokenize_dialogues(tmp_path / "t", [path], Bytes(), Template(), 64)
    learned = [ids[mask].tolist() for ids, mask in map(shards.document, range(shards.index.num_documents))]
    assert learned == [[*b"cd", 299], [*b"f", 299]]
    assert shards.bytes_per_target == 3 / 5


def test_a_long_dialogue_loses_whole_turns_and_is_counted(tmp_path, bytes_template):
    long = dialogue("q" * 5, "a" * 5, "q" * 5, "b" * 5, "q" * 5, "c" * 5)
    for limit, answers in ((64, "abc"), (37, "ab"), (24, "a"), (13, "a"), (12, "a")):
        path = write(tmp_path / "d.jsonl", long)
        shards = tokenize_dialogues(tmp_path / f"t{limit}", [path], Bytes(), Template(), limit)
        ids, mask = shards.document(0)
        assert bytes(ids[mask][ids[mask] < 256].tolist()).decode() == "".join(a * 5 for a in answers)
        assert len(ids) - 1 <= limit
        assert shards.index.counts["cut"] == (answers != "abc")
        assert shards.index.counts["messages_cut"] == 6 - 2 * len(answers)


def test_dialogues_that_teach_nothing_are_counted(tmp_path, bytes_template):
    records = (dialogue("only a question"), dialogue("q", "a"), dialogue("q" * 50, "a"))
    shards = tokenize_dialogues(
        tmp_path / "t", [write(tmp_path / "d.jsonl", *records)], Bytes(), Template(), 20
    )
    assert shards.index.num_documents == 1
    counts = {"dialogues": 3, "cut": 0, "messages_cut": 0, "too_long": 1, "no_targets": 1}
    assert shards.index.counts == counts


def test_a_file_that_leaves_nothing_says_what_it_held(tmp_path, bytes_template):
    path = write(tmp_path / "d.jsonl", dialogue("only a question"))
    with pytest.raises(StemmaError, match="1 dialogues, 1 no_targets"):
        tokenize_dialogues(tmp_path / "t", [path], Bytes(), Template(), 20)


def test_a_record_of_another_form_is_refused_by_line(tmp_path, bytes_template):
    path = write(tmp_path / "d.jsonl", dialogue("q", "a"), {"instruction": "x", "output": "y"})
    with pytest.raises(StemmaError, match=r"line 2: a dialogue is"):
        tokenize_dialogues(tmp_path / "t", [path], Bytes(), Template(), 20)
