"""Talk to a model in the terminal: /reset forgets, /exit or Ctrl-D leaves, Ctrl-C stops an answer.

Lines piped into stdin are turns, so a conversation can be scripted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    path: tyro.conf.Positional[Path]
    """checkpoint folder of a chat model, or the folder of a finished run"""
    system: str | None = None
    """system message, kept for the whole conversation"""
    max_new_tokens: int = 256
    """longest answer, in tokens"""
    temperature: float = 0.7
    """0 always takes the most probable token"""
    top_k: int = 0
    """draw from the k most probable tokens only, 0 is all"""
    top_p: float = 0.9
    """draw from the smallest set of tokens that holds this much probability"""
    repetition_penalty: float = 1.0
    """above 1 makes tokens that occurred already less probable"""
    seed: int = 0
    """same seed and same turns, same answers"""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """type of the weights in memory"""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one"""
    json: bool = False
    """print one JSON object per turn instead of the text"""


def run(args: Args) -> int:
    """Read turns until the end of stdin."""
    from stemma.generate.conversation import Conversation
    from stemma.generate.language_model import load_language_model
    from stemma.generate.sampling import GenerationSettings
    from stemma.generate.terminal import converse

    settings = GenerationSettings(
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        repetition_penalty=args.repetition_penalty,
        seed=args.seed,
    )
    language_model = load_language_model(args.path, args.dtype, args.device)
    converse(Conversation(language_model, settings, args.system), args.json)
    return 0
