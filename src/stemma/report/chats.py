"""The chat samples of `chat.json`: a list of {"model", "messages": [{"role", "content"}, ...]}, shown as they came."""

from pathlib import Path

from stemma.report.blocks import Block, Columns, Dialogue, Section, Text
from stemma.report.record import read_list

_MAX_CHATS = 12


def chats(folder: Path) -> Section | None:
    """The section of a folder with `chat.json`, or None."""
    records = read_list(folder / "chat.json")
    dialogues: list[Block] = []
    for record in records[:_MAX_CHATS]:
        turns = [(message.text("role"), message.text("content")) for message in record.records("messages")]
        dialogues.append(Dialogue(turns, record.text("model") or record.text("label")))
    if not dialogues:
        return None
    note = "Dialogues as the model gave them, unedited."
    return Section("chat", "Chat samples", [Text(note, muted=True), Columns(dialogues, narrow=True)])
