import dataclasses
import json
import re
from pathlib import Path

import pytest

from stemma.errors import StemmaError
from stemma.evaluate.answering import answer_questions, summarize
from stemma.evaluate.grouping import wilson
from stemma.evaluate.protocols import ChatProtocol, PlainProtocol, build_protocol
from stemma.evaluate.questions import Question, read_questions
from stemma.generate.language_model import LanguageModel
from stemma.tokenizer.template import encode_chat


@pytest.fixture(scope="module")
def questions(questions_file: Path) -> list[Question]:
    return read_questions(questions_file)


def test_chat_candidates_are_the_ids_the_answer_would_be_trained_on(
    language_model: LanguageModel, questions: list[Question]
) -> None:
    protocol = ChatProtocol(language_model)
    for question in questions:
        scored = protocol.candidate(question, question.answer)
        reply = {"role": "assistant", "content": question.answer}
        tokens = encode_chat(
            language_model.tokenizer, language_model.chat_template, [*question.messages, reply]
        )  # type: ignore[list-item]
        assert list(scored.ids) == tokens.ids[: len(scored.ids)]
        assert all(tokens.target_mask[scored.first : len(scored.ids)])
        assert list(scored.ids[: scored.first]) == protocol.prompt(question)
        assert scored.ids[-1] in language_model.chat_stop_ids
        answer = language_model.tokenizer.decode(scored.ids[scored.first :])
        assert answer == question.answer


def test_a_template_without_marks_encodes_choices_after_the_prompt_and_says_so(
    language_model: LanguageModel, questions: list[Question]
) -> None:
    template = language_model.chat_template
    source = re.sub(r"{%-? *(end)?generation *-?%}", "", template.source)
    unmarked = dataclasses.replace(language_model, template=dataclasses.replace(template, source=source))
    marked, plain = ChatProtocol(language_model), ChatProtocol(unmarked)
    assert "no assistant spans" in plain.description
    assert "no assistant spans" not in marked.description
    for question in questions:
        assert plain.candidate(question, question.answer) == marked.candidate(question, question.answer)


def test_plain_prompts_hold_examples_of_the_kind_and_language_and_never_the_question_itself(
    language_model: LanguageModel, questions: list[Question]
) -> None:
    protocol = PlainProtocol(language_model, questions, num_shots=3, max_new_tokens=8)
    decode = language_model.tokenizer.decode
    assert decode(protocol.prompt(questions[0])) == "Who lives in Oslo?\nTom\n\nWho keeps bees?\n"
    assert decode(protocol.prompt(questions[1])) == "Where does Anna live?\n"
    scored = protocol.candidate(questions[3], "奥斯陆")
    assert decode(scored.ids[: scored.first]) == "谁养蜜蜂？\n安娜\n她住在哪里？\n"
    assert decode(scored.ids[scored.first :]) == "奥斯陆\n"


def test_examples_that_do_not_fit_are_left_out(
    language_model: LanguageModel, questions: list[Question]
) -> None:
    room = len(PlainProtocol(language_model, questions, 0, 1).prompt(questions[0]))
    tight = PlainProtocol(language_model, questions, 1, language_model.model.spec.max_seq_len - room)
    assert len(tight.prompt(questions[0])) == room


def test_answers_are_counted_by_kind_language_and_turns(
    language_model: LanguageModel, questions: list[Question]
) -> None:
    for name in ("chat", "plain"):
        protocol = build_protocol(name, language_model, questions, 1, 8)
        outcomes = answer_questions(language_model, questions, protocol, 8)
        assert [o.id for o in outcomes] == ["q0", "q1", "q2", "q3", "q4"]
        again = [answer_questions(language_model, [q], protocol, 8, max_batch_tokens=1)[0] for q in questions]
        assert again == outcomes
        score = summarize(outcomes, name)
        assert (score.count, score.too_long, score.protocol) == (5, 0, name)
        assert score.likelihood is not None
        assert score.likelihood.count == 4  # one question has no choices
        assert {key: {v: g.count for v, g in groups.items()} for key, groups in score.by.items()} == {
            "kind": {"place": 2, "who": 3},
            "lang": {"en": 3, "zh": 2},
            "turns": {"1": 4, "2": 1},
        }
        assert len(score.examples) == 5


def test_a_right_answer_is_right_up_to_outer_white_space_and_a_wrong_one_is_not(
    monkeypatch: pytest.MonkeyPatch, language_model: LanguageModel, questions: list[Question]
) -> None:
    from stemma.evaluate import answering
    from stemma.generate.decode import Generation

    said = [" Anna\n", "in Lyon.", "安娜", "里昂。", "Tom"]
    monkeypatch.setattr(
        answering, "generate", lambda *_, **__: [Generation([1], text, "stop") for text in said]
    )
    outcomes = answer_questions(language_model, questions, ChatProtocol(language_model))
    assert [o.right for o in outcomes] == [True, False, True, False, True]


def test_the_likeliest_choice_wins_in_total_and_per_byte(
    monkeypatch: pytest.MonkeyPatch, language_model: LanguageModel, questions: list[Question]
) -> None:
    from stemma.evaluate import answering

    mixed = Question(
        "mixed",
        "zh",
        "who",
        1,
        ({"role": "user", "content": "?"},),
        "里昂",
        ("里昂", "Lyon, F", "奥斯陆", "Oslo"),
    )
    scores = {4: [-5.0, -6.0, -9.0, -9.5], 3: [-5.0, -7.0, -9.0], 2: [-2.0, -1.0]}
    monkeypatch.setattr(
        answering,
        "candidate_log_probabilities",
        lambda _, groups, __: [scores[len(group)] for group in groups],
    )
    outcomes = answer_questions(language_model, questions, ChatProtocol(language_model), 4)
    assert [o.likeliest for o in outcomes] == ["Tom", "In Lyon.", "安娜", "里昂", ""]
    # 里昂 has 2 characters and 6 bytes: -5/6 per byte beats -6/7, and -5/2 per character would not
    (outcome,) = answer_questions(language_model, [mixed], ChatProtocol(language_model), 4)
    assert (outcome.likeliest, outcome.likeliest_per_byte) == ("里昂", "里昂")
    # per byte: Tom -5/3, Anna -7/4, "Anna Tom" -9/8; 里昂 -5/6, 奥斯陆 -7/9, 里 -9/3
    assert [o.likeliest_per_byte for o in outcomes] == ["Anna Tom", "In Lyon.", "安娜", "奥斯陆", ""]


def test_a_question_that_does_not_fit_counts_as_wrong_and_is_named_too_long(
    language_model: LanguageModel,
) -> None:
    long = Question(
        "long", "en", "who", 1, ({"role": "user", "content": "Who? " * 100},), "Tom", ("Tom", "Anna")
    )
    outcomes = answer_questions(language_model, [long], ChatProtocol(language_model), 4)
    score = summarize(outcomes, "chat")
    assert (score.too_long, score.correct, score.count) == (1, 0, 1)
    assert score.likelihood is not None
    assert (score.likelihood.correct, score.likelihood.count) == (0, 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"answer": ""}, "'answer' is empty"),
        ({"choices": ["a", "b"]}, "hold the answer"),
        ({"messages": []}, "no messages"),
        (
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
            "the user's",
        ),
        ({"messages": "q"}, "needs 'messages'"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    good = {"id": "1", "messages": [{"role": "user", "content": "q"}], "answer": "x", "choices": ["x", "y"]}
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "id": "2", **change}))
    with pytest.raises(StemmaError, match=f"line 2: .*{sentence}"):
        read_questions(path)


def test_wilson_intervals_equal_published_values() -> None:
    # Newcombe 1998 (Statistics in Medicine 17), table I, method 3
    for correct, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
    ):
        assert wilson(correct, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson(29, 29)[1] == 1.0
