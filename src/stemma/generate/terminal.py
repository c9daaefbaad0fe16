"""A conversation through stdin and stdout: a person at a terminal, or lines from a pipe.

stdout carries the answers alone; prompts, notices and errors go to stderr.
"""

import contextlib
import json
import re
import sys
from collections.abc import Iterator

from stemma.errors import StemmaError
from stemma.generate.conversation import Conversation
from stemma.progress import say

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def converse(conversation: Conversation, as_json: bool = False) -> None:
    """Answer every turn until the input ends."""
    if sys.stdin.isatty():
        say("Say something. /reset forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer.")
    for line in _turns():
        text = line.strip()
        if text == "/exit":
            return
        if text == "/reset":
            conversation.reset()
            say("The conversation is forgotten.")
        elif text.startswith("/") and sys.stdin.isatty():
            say(f"'{text}' is not a command; there are /reset and /exit.")
        elif text:
            _turn(conversation, text, as_json)


def _turn(conversation: Conversation, text: str, as_json: bool) -> None:
    try:
        turns = conversation.ask(text)
    except StemmaError as error:
        say(str(error))
        return
    if turns:
        one = "turn is" if turns == 1 else f"{turns} turns are"
        say(
            f"The conversation no longer fits into the model's {conversation.max_seq_len} tokens; the oldest {one} dropped."
        )
        conversation.forget(turns)
    said: list[str] = []
    try:
        with contextlib.closing(conversation.answer()) as pieces:
            for piece in pieces:
                said.append(piece)
                if not as_json:
                    print(visible(piece), end="", flush=True)
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        say(" (stopped)")
    reason = conversation.finish_reason or "interrupted"
    if as_json:
        record = {"user": text, "assistant": "".join(said), "finish_reason": reason, "dropped_turns": turns}
        print(json.dumps(record, ensure_ascii=False), flush=True)
        return
    print(flush=True)
    if reason in ("length", "context"):
        why = "max_new_tokens" if reason == "length" else "the end of the context"
        say(f"(the answer was cut at {why})")


def visible(text: str) -> str:
    """Text without control characters when a terminal would obey them; a pipe gets every character."""
    return _CONTROL.sub("\ufffd", text) if sys.stdout.isatty() else text


def _turns() -> Iterator[str]:
    try:
        yield from _lines()
    except UnicodeDecodeError:
        raise StemmaError("stdin is not UTF-8 text; convert the turns to UTF-8") from None


def _lines() -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    import readline  # noqa: F401 - gives input() editing and a history

    while True:
        try:
            yield input("> ")
        except EOFError:
            say()
            return
        except KeyboardInterrupt:
            say("\nCtrl-D or /exit leaves.")
