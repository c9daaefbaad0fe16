import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stemma.cli import main
from stemma.errors import StemmaError
from stemma.generate.conversation import Conversation
from stemma.generate.language_model import LanguageModel, load_language_model
from stemma.generate.sampling import GenerationSettings
from stemma.generate.terminal import visible

TURNS = ["Hello, who are you?", "你好。", "Tell me more about it."]
SETTINGS = GenerationSettings(max_new_tokens=12, temperature=0.8)


@pytest.fixture(scope="module")
def language_model(chat_folder: Path) -> LanguageModel:
    return load_language_model(chat_folder, device="cpu")


def say_all(conversation: Conversation, turns: list[str]) -> list[str]:
    said = []
    for text in turns:
        conversation.forget(conversation.ask(text))
        said.append("".join(conversation.answer()))
    return said


def test_a_conversation_answers_like_generating_from_the_whole_history(language_model: LanguageModel) -> None:
    from stemma.generate.decode import generate
    from stemma.generate.stopping import answers

    conversation = Conversation(language_model, SETTINGS, system="Be brief.")
    said = say_all(conversation, TURNS[:2])
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": TURNS[0]},
        {"role": "assistant", "content": said[0]},
        {"role": "user", "content": TURNS[1]},
    ]
    prompt = language_model.chat_prompt(messages)  # type: ignore[arg-type]
    settings = GenerationSettings(max_new_tokens=12, temperature=0.8, seed=1).with_limits(
        language_model.chat_stop_ids, language_model.tokenizer.vocab_size
    )
    alone = generate(language_model.model, [prompt], settings, answers(language_model.tokenizer))[0]
    assert said[1] == alone.text
    assert conversation._session.num_reused > 0


def test_a_full_context_names_how_many_turns_must_go_and_forgets_only_when_told(
    language_model: LanguageModel,
) -> None:
    conversation = Conversation(language_model, SETTINGS)
    asked = 0
    while not (turns := conversation.ask("x" * 40)):
        "".join(conversation.answer())
        asked += 1
    assert len(conversation.history) == 2 * asked + 1
    conversation.forget(turns)
    assert conversation.history[0]["role"] == "user"
    assert "".join(conversation.answer())
    with pytest.raises(StemmaError, match="this turn needs"):
        conversation.ask("y" * 1000)
    assert conversation.history[-1]["role"] == "assistant"


def test_an_answer_that_was_left_stays_in_the_history_as_far_as_it_was_said(
    language_model: LanguageModel,
) -> None:
    conversation = Conversation(language_model, SETTINGS)
    conversation.ask("Hello")
    answer = conversation.answer()
    first = next(answer)
    answer.close()
    assert conversation.history[-1] == {"role": "assistant", "content": first}
    assert conversation.finish_reason is None
    conversation.ask("Again")
    assert "".join(conversation.answer())


def test_control_c_stops_the_answer_and_not_the_conversation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], language_model: LanguageModel
) -> None:
    from stemma.generate import session, terminal

    calls = iter(range(1000))
    choose = session.choose

    def interrupted(*arguments: Any) -> list[int]:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return choose(*arguments)

    monkeypatch.setattr(session, "choose", interrupted)
    monkeypatch.setattr(terminal, "_turns", lambda: iter(["Hello", "Go on"]))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    conversation = Conversation(language_model, SETTINGS)
    terminal.converse(conversation)
    assert "(stopped)" in capsys.readouterr().err
    assert [message["role"] for message in conversation.history] == ["user", "assistant"] * 2
    cut = conversation.history[1]["content"]
    whole = say_all(Conversation(language_model, SETTINGS), ["Hello"])[0]
    assert whole.startswith(cut)
    assert 0 < len(cut) < len(whole)


def test_control_characters_reach_a_pipe_but_not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert visible("a\x1b[2Jb\tc\n") == "a\x1b[2Jb\tc\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert visible("a\x1b[2Jb\tc\n") == "a\ufffd[2Jb\tc\n"


def test_piped_lines_are_turns_and_the_same_lines_get_the_same_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chat_folder: Path
) -> None:
    def chat(*lines: str) -> list[dict[str, str]]:
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
        assert main(["chat", str(chat_folder), "--json", "--max-new-tokens", "8", "--device", "cpu"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    first = chat("Hello", "And?", "", "/exit", "never asked")
    assert [turn["user"] for turn in first] == ["Hello", "And?"]
    assert chat("Hello", "And?") == first
    after_reset = chat("Hello", "/reset", "And?")
    assert [turn["user"] for turn in after_reset] == ["Hello", "And?"]
    assert after_reset[0] == first[0]


def test_a_base_model_has_no_chat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], base_folder: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    assert main(["chat", str(base_folder), "--device", "cpu"]) == 2
    assert "has no chat template" in capsys.readouterr().err


def test_generate_continues_a_prompt_from_stdin_or_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], base_folder: Path
) -> None:
    common = ["generate", str(base_folder), "--max-new-tokens", "6", "--device", "cpu"]
    assert main([*common, "--prompt", "Once"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Once")
    assert len(shown) > len("Once\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("Once\n"))
    assert main([*common, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["prompt"] + record["text"] + "\n" == shown
    assert main([*common, "--prompt", ""]) == 2


def test_chat_in_a_terminal_answers_and_leaves_at_control_d(chat_folder: Path) -> None:
    master, slave = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "stemma",
        "chat",
        str(chat_folder),
        "--device",
        "cpu",
        "--max-new-tokens",
        "8",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "dumb"}
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    shown = ""

    def wait_for(text: str) -> None:
        nonlocal shown
        deadline = time.monotonic() + 60
        while text not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([master], [], [], 0.2)[0]:
                shown += os.read(master, 4096).decode("utf-8", "replace")
        shown = shown[shown.index(text) + len(text) :]

    wait_for("> ")
    os.write(master, b"Hello\n")
    wait_for("Hello")
    wait_for("> ")
    os.write(master, b"/help\n")
    wait_for("is not a command")
    wait_for("> ")
    os.write(master, b"\x04")
    assert process.wait(60) == 0
    os.close(master)


@pytest.mark.parametrize("verb", ["chat", "generate"])
def test_input_that_is_not_utf_8_is_one_sentence(
    verb: str, chat_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8"))
    assert main([verb, str(chat_folder), "--device", "cpu"]) == 2
    assert "stdin is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["warp", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_one_sentence(device: str, chat_folder: Path) -> None:
    with pytest.raises(StemmaError, match=f"device {device} is not known or not there"):
        load_language_model(chat_folder, device=device)
