"""Dialogues with the finished model for the report: the recipe's user turns, the model's answers, none left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.chain.recipe import ChatSample


def chat_samples(model: Path, samples: Sequence[ChatSample]) -> list[dict[str, Any]]:
    """[{"model", "messages"}] of all samples, one conversation each, seeded."""
    from stemma.generate.conversation import Conversation
    from stemma.generate.language_model import load_language_model
    from stemma.generate.sampling import GenerationSettings

    language_model = load_language_model(model)
    found: list[dict[str, Any]] = []
    for sample in samples:
        settings = GenerationSettings(max_new_tokens=sample.max_new_tokens, temperature=sample.temperature)
        conversation = Conversation(language_model, settings)
        for text in sample.user:
            conversation.forget(conversation.ask(text))
            for _ in conversation.answer():
                pass
        found.append({"model": model.parent.name, "messages": [dict(m) for m in conversation.history]})
    return found
