"""Answers to questions, judged two ways.

generated    greedy decoding; right when the answer without outer white space is the expected one, letter for letter
likelihood   the choice with the highest log-probability, its end included, in total or per UTF-8 byte of the choice;
             the first of equal ones. Questions without choices are not counted here.

A question too long for the model counts as wrong both ways, and is counted in `too_long`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stemma.evaluate.grouping import Accuracy, accuracy, group_by
from stemma.evaluate.protocols import AnsweringProtocol
from stemma.evaluate.questions import Question
from stemma.evaluate.scoring import candidate_log_probabilities
from stemma.generate.decode import generate
from stemma.generate.language_model import LanguageModel
from stemma.generate.sampling import GenerationSettings
from stemma.generate.stopping import answers
from stemma.progress import Progress

_QUESTIONS_AT_ONCE = 64
_EXAMPLES_PER_GROUP = 2


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a model made of one question. `likeliest` and `likeliest_per_byte` are empty without choices."""

    id: str
    kind: str
    lang: str
    turns: int
    question: str
    expected: str
    answered: str
    likeliest: str = ""
    likeliest_per_byte: str = ""
    too_long: bool = False

    @property
    def right(self) -> bool:
        """Whether the generated answer is the expected one."""
        return self.answered == self.expected.strip()


@dataclass(frozen=True, kw_only=True)
class GroupScore(Accuracy):
    """Accuracy of generated answers, and by likelihood where there are choices."""

    likelihood: Accuracy | None = None
    likelihood_per_byte: Accuracy | None = None


@dataclass(frozen=True, kw_only=True)
class QuestionsScore(GroupScore):
    """All questions under one protocol; `by` holds the groups of kind, lang and turns."""

    protocol: str
    too_long: int
    by: dict[str, dict[str, GroupScore]]
    examples: tuple[Outcome, ...]


def answer_questions(
    language_model: LanguageModel,
    questions: Sequence[Question],
    protocol: AnsweringProtocol,
    max_new_tokens: int = 64,
    max_batch_tokens: int = 8192,
    progress: Progress | None = None,
) -> list[Outcome]:
    """One Outcome per question, in order."""
    settings = GenerationSettings(
        max_new_tokens=max_new_tokens,
        stop_ids=protocol.stop_ids,
        stop_strings=protocol.stop_strings,
        vocab_limit=language_model.tokenizer.vocab_size,
    )
    outcomes: list[Outcome] = []
    for begin in range(0, len(questions), _QUESTIONS_AT_ONCE):
        group = questions[begin : begin + _QUESTIONS_AT_ONCE]
        outcomes += _answer(language_model, group, protocol, settings, max_batch_tokens)
        if progress is not None:
            right = sum(outcome.right for outcome in outcomes)
            progress.advance(len(group), f"{right / len(outcomes):.1%} right")
    return outcomes


def summarize(outcomes: Sequence[Outcome], protocol: str) -> QuestionsScore:
    """Accuracies over all outcomes and by kind, language and number of turns, with the first examples of each kind."""
    keys: dict[str, Callable[[Outcome], str]] = {
        "kind": lambda o: o.kind,
        "lang": lambda o: o.lang,
        "turns": lambda o: str(o.turns),
    }
    by = {
        name: {value: _group_score(group) for value, group in group_by(outcomes, key).items()}
        for name, key in keys.items()
    }
    groups = group_by(outcomes, lambda o: f"{o.kind}/{o.lang}")
    return QuestionsScore(
        **vars(_group_score(outcomes)),
        protocol=protocol,
        too_long=sum(o.too_long for o in outcomes),
        by=by,
        examples=tuple(o for group in groups.values() for o in group[:_EXAMPLES_PER_GROUP]),
    )


def _answer(
    language_model: LanguageModel,
    questions: Sequence[Question],
    protocol: AnsweringProtocol,
    settings: GenerationSettings,
    max_batch_tokens: int,
) -> list[Outcome]:
    model = language_model.model
    prompts = [protocol.prompt(question) for question in questions]
    fits = [i for i, prompt in enumerate(prompts) if len(prompt) < model.spec.max_seq_len]
    decoder = answers(language_model.tokenizer)
    generated = generate(
        model, [prompts[i] for i in fits], settings, decoder, prompting=language_model.prompting
    )
    texts = {i: (answer.text or "").strip() for i, answer in zip(fits, generated, strict=True)}

    candidates = [
        [protocol.candidate(question, choice) for choice in question.choices] for question in questions
    ]
    chosen = [
        i for i in fits if candidates[i] and all(len(c.ids) <= model.spec.max_seq_len for c in candidates[i])
    ]
    scores = candidate_log_probabilities(model, [candidates[i] for i in chosen], max_batch_tokens)
    likelihoods = dict(zip(chosen, scores, strict=True))
    return [_outcome(question, texts.get(i), likelihoods.get(i)) for i, question in enumerate(questions)]


def _outcome(question: Question, text: str | None, scores: list[float] | None) -> Outcome:
    per_byte = scores and [s / len(c.encode()) for s, c in zip(scores, question.choices, strict=True)]
    return Outcome(
        id=question.id,
        kind=question.kind,
        lang=question.lang,
        turns=question.turns,
        question=question.messages[-1]["content"],
        expected=question.answer,
        answered=text or "",
        likeliest=question.choices[scores.index(max(scores))] if scores else "",
        likeliest_per_byte=question.choices[per_byte.index(max(per_byte))] if per_byte else "",
        too_long=text is None or bool(question.choices and scores is None),
    )


def _group_score(outcomes: Sequence[Outcome]) -> GroupScore:
    choosing = [o for o in outcomes if o.likeliest or o.too_long]
    return GroupScore(
        **vars(accuracy([o.right for o in outcomes])),
        likelihood=accuracy([o.likeliest == o.expected for o in choosing]) if choosing else None,
        likelihood_per_byte=accuracy([o.likeliest_per_byte == o.expected for o in choosing])
        if choosing
        else None,
    )
