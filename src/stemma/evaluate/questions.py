"""Questions with one right answer: JSON lines {id, lang, kind, turns, messages, answer, choices}.

`messages` end with a user's turn; `answer` is what the assistant should say, letter for letter; `choices`, if any, hold
the answer among wrong ones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.corpus.read import read_records
from stemma.errors import StemmaError
from stemma.tokenizer.template import Message, check_messages


@dataclass(frozen=True)
class Question:
    """One question; `turns` counts the user's messages."""

    id: str
    lang: str
    kind: str
    turns: int
    messages: tuple[Message, ...]
    answer: str
    choices: tuple[str, ...]


def read_questions(path: Path) -> list[Question]:
    """All questions of a file. Raises StemmaError naming the line of the first that cannot be asked."""
    questions = [_question(place, record) for place, record in read_records(path)]
    if not questions:
        raise StemmaError(f"{path}: holds no question")
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise StemmaError(
                f"{path}: question id '{question.id}' occurs twice; ids name questions in the results"
            )
        seen.add(question.id)
    return questions


def _question(place: str, record: dict[str, Any]) -> Question:
    for key, kind in (("messages", list), ("answer", str)):
        if not isinstance(record.get(key), kind):
            raise StemmaError(f"{place}: a question needs '{key}' as a {'list' if kind is list else 'text'}")
    messages = tuple(record["messages"])
    try:
        check_messages(messages)
    except StemmaError as error:
        raise StemmaError(f"{place}: {error}") from None
    if messages[-1]["role"] != "user":
        raise StemmaError(f"{place}: the last message must be the user's; the answer goes into 'answer'")
    answer, choices = record["answer"], record.get("choices") or []
    if not answer.strip():
        raise StemmaError(f"{place}: 'answer' is empty")
    if not isinstance(choices, list) or not all(isinstance(c, str) and c.strip() for c in choices):
        raise StemmaError(f"{place}: 'choices' must be a list of texts")
    if choices and (answer not in choices or len(set(choices)) != len(choices)):
        raise StemmaError(f"{place}: 'choices' must differ from one another and hold the answer")
    turns = sum(message["role"] == "user" for message in messages)
    text = {key: str(record.get(key, "")) for key in ("id", "lang", "kind")}
    return Question(text["id"] or place, text["lang"], text["kind"], turns, messages, answer, tuple(choices))
