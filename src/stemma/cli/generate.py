"""Continue a prompt with a model; the prompt is read from stdin when --prompt is absent.

An encoder-decoder model reads the prompt and writes its answer; a masked language model fills the [MASK] of the prompt.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from stemma.generate.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Args:
    path: tyro.conf.Positional[Path]
    """checkpoint folder, or the folder of a finished run"""
    prompt: str | None = None
    """text to continue; stdin when absent"""
    max_new_tokens: int = 128
    """longest continuation, in tokens"""
    temperature: float = 0.0
    """0 always takes the most probable token"""
    top_k: int = 0
    """draw from the k most probable tokens only, 0 is all"""
    top_p: float = 1.0
    """draw from the smallest set of tokens that holds this much probability"""
    repetition_penalty: float = 1.0
    """above 1 makes tokens that occurred already less probable"""
    stop: tuple[str, ...] = ()
    """texts that end the continuation"""
    seed: int = 0
    """same seed, same continuation"""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """type of the weights in memory"""
    device: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one"""
    json: bool = False
    """print one JSON object instead of the text"""


def run(args: Args) -> int:
    """Print the prompt and its continuation."""
    from stemma.errors import StemmaError
    from stemma.generate.decode import generate
    from stemma.generate.language_model import load_language_model
    from stemma.generate.sampling import GenerationSettings
    from stemma.generate.session import ChatSession
    from stemma.generate.stopping import answers, continuations
    from stemma.progress import say

    settings = GenerationSettings(
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        repetition_penalty=args.repetition_penalty,
        seed=args.seed,
        stop_strings=args.stop,
    )
    prompt = args.prompt if args.prompt is not None else _read_stdin()
    language_model = load_language_model(args.path, args.dtype, args.device)
    tokenizer = language_model.tokenizer
    settings = settings.with_limits(language_model.eos_ids, tokenizer.vocab_size)
    if not language_model.model.spec.causal:
        return _fill(language_model, prompt, args.json)
    ids = language_model.text_prompt(prompt)
    reads = language_model.model.spec.encoder is not None  # then the answer is a text of its own
    decoder = answers(tokenizer) if reads else continuations(tokenizer)
    if not ids:
        raise StemmaError("the prompt is empty and the tokenizer has no BOS to begin with; give --prompt")
    if args.json:
        answer = generate(language_model.model, [ids], settings, decoder, prompting=language_model.prompting)[
            0
        ]
        record = {
            "prompt": prompt,
            "text": answer.text,
            "ids": answer.ids,
            "finish_reason": answer.finish_reason,
        }
        print(json.dumps(record, ensure_ascii=False))
        return 0
    session = ChatSession(language_model.model, language_model.prompting)
    print("" if reads else prompt, end="", flush=True)
    for piece in session.stream(ids, settings, decoder):
        print(piece, end="", flush=True)
    print()
    if session.finish_reason != "stop":
        why = "max_new_tokens" if session.finish_reason == "length" else "the model's max_seq_len"
        say(f"ended at {why}")
    return 0


def _fill(language_model: "LanguageModel", prompt: str, as_json: bool) -> int:
    """Print the prompt with its masks filled."""
    from stemma.generate.fill import fill_masks

    text, ids = fill_masks(language_model, prompt)
    print(json.dumps({"prompt": prompt, "text": text, "ids": ids}, ensure_ascii=False) if as_json else text)
    return 0


def _read_stdin() -> str:
    from stemma.errors import StemmaError
    from stemma.progress import say

    if sys.stdin.isatty():
        say("Type the prompt, then Ctrl-D.")
    try:
        return sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError:
        raise StemmaError("stdin is not UTF-8 text; convert the prompt to UTF-8") from None
