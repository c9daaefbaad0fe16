"""Every published family generates: cached as uncached, in a batch as alone, streamed as at once."""

import dataclasses
from pathlib import Path

import pytest
import torch

from stemma.checkpoint import load_model, open_checkpoint
from stemma.checkpoint.open import Checkpoint
from stemma.errors import StemmaError
from stemma.generate.decode import generate
from stemma.generate.prompting import Prompting
from stemma.generate.sampling import GenerationSettings
from stemma.generate.session import ChatSession
from stemma.generate.stopping import StreamDecoder
from stemma.model.blanks import BlankMarks, read_prompt
from stemma.model.spec import DynamicScaling, RopeSpec
from stemma.model.transformer import Transformer

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FOLDERS = sorted(p.name for p in GOLDEN.iterdir() if (p / "config.json").is_file())
GENERATING = [name for name in FOLDERS if name != "bert"]
BLANK, START = 251, 254
SETTINGS = {
    "greedy": GenerationSettings(max_new_tokens=9),
    "sampled": GenerationSettings(
        max_new_tokens=9, temperature=0.9, top_k=40, top_p=0.95, repetition_penalty=1.2, seed=3
    ),
}


def opened(name: str) -> tuple[Transformer, Prompting, list[list[int]]]:
    """A model, how it is prompted, and three prompts of unlike length for it."""
    found = open_checkpoint(GOLDEN / name)
    prompts = [[5, 17, 30, 44, 90, 121, 33], [8, 9, 201], [77, 12, 60, 61, 62]]
    if found.family.fills_blanks:
        prompts = [[*prompt, BLANK, START] for prompt in prompts]
    return load_model(found), prompting_of(found), prompts


def prompting_of(found: Checkpoint) -> Prompting:
    if found.family.fills_blanks:
        return Prompting(blanks=BlankMarks(START, (BLANK,)))
    return Prompting(decoder_start=found.special_ids.decoder_start)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", GENERATING)
def test_a_batch_gives_each_prompt_the_answer_it_gets_alone(name: str, settings: GenerationSettings) -> None:
    model, prompting, prompts = opened(name)
    together = generate(model, prompts, settings, prompting=prompting)
    for index, prompt in enumerate(prompts):
        own = GenerationSettings(**{**vars(settings), "seed": settings.seed + index})
        assert generate(model, [prompt], own, prompting=prompting)[0].ids == together[index].ids
    assert all(len(answer.ids) == 9 for answer in together)


@pytest.mark.parametrize("name", GENERATING)
def test_a_row_that_ends_early_leaves_the_others_as_they_were(name: str) -> None:
    model, prompting, prompts = opened(name)
    settings = SETTINGS["greedy"]
    whole = [answer.ids for answer in generate(model, prompts, settings, prompting=prompting)]
    stop = whole[0][2]
    stopped = generate(model, prompts, dataclasses.replace(settings, stop_ids=(stop,)), prompting=prompting)
    for answer, ids in zip(stopped, whole, strict=True):
        assert answer.ids == (ids[: ids.index(stop)] if stop in ids else ids)
    assert len(stopped[0].ids) <= 2


@pytest.mark.parametrize("name", [name for name in GENERATING if "dynamic" not in name])
def test_cached_tokens_are_those_of_a_full_recomputation(name: str) -> None:
    model, prompting, prompts = opened(name)
    answer = generate(model, prompts[:1], SETTINGS["greedy"], prompting=prompting)[0]
    tokens = prompting.decoder_prompt(model, prompts[0])
    memory = None if model.encoder is None else model.encode(torch.tensor(prompts[:1]))
    for token in answer.ids:
        positions = prefix = None
        if prompting.blanks is not None:
            read = read_prompt(tokens, prompting.blanks)
            positions = read.position_ids[None]
            prefix = torch.full((1, len(tokens)), read.context)
        with torch.no_grad():
            logits = model(
                torch.tensor([tokens]), position_ids=positions, prefix_lengths=prefix, memory=memory
            )
        assert int(logits[0, -1].argmax()) == token
        tokens.append(token)


class Numbers(StreamDecoder):
    """A decoder that writes token ids."""

    def __init__(self) -> None: ...

    def push(self, token: int) -> str:
        return f"{token} "

    def finish(self) -> str:
        return ""


@pytest.mark.parametrize("name", GENERATING)
def test_a_session_streams_what_generate_answers_turn_after_turn(name: str) -> None:
    model, prompting, prompts = opened(name)
    session = ChatSession(model, prompting)
    for prompt in [*prompts, prompts[0]]:
        streamed = "".join(session.stream(prompt, SETTINGS["greedy"], lambda _: Numbers()))
        assert [int(word) for word in streamed.split()] == generate(
            model, [prompt], SETTINGS["greedy"], prompting=prompting
        )[0].ids


@pytest.mark.parametrize("name", GENERATING)
def test_a_session_reuses_its_cache_where_the_model_is_causal_and_nowhere_else(name: str) -> None:
    model, prompting, prompts = opened(name)
    session = ChatSession(model, prompting)
    session.encode(prompts[0])
    longer = [*prompts[0], 100] if prompting.blanks is None else [*prompts[0][:-2], 100, BLANK, START]
    session.encode(longer)
    keeps = model.spec.encoder is None and prompting.blanks is None
    assert session.num_reused == (len(prompts[0]) if keeps else 0)


def test_a_model_that_fills_masks_generates_nothing() -> None:
    with pytest.raises(StemmaError, match="fills masks and continues no text"):
        generate(load_model(GOLDEN / "bert"), [[5, 6]], SETTINGS["greedy"])


def test_a_prompt_without_a_blank_or_without_its_end_is_refused_by_name() -> None:
    model, prompting, _ = opened("chatglm-6b-small")
    with pytest.raises(StemmaError, match=f"no start token {START}"):
        generate(model, [[5, BLANK]], SETTINGS["greedy"], prompting=prompting)
    with pytest.raises(StemmaError, match="no blank to fill"):
        generate(model, [[5, START]], SETTINGS["greedy"], prompting=prompting)
    with pytest.raises(StemmaError, match="decoder_start_token_id is missing"):
        generate(load_model(GOLDEN / "t5-v1.0"), [[5]], SETTINGS["greedy"])


def test_beyond_the_trained_length_the_stepped_base_of_the_prompt_is_kept() -> None:
    model, prompting, _ = opened("qwen-7b")
    rope = model.spec.blocks[0].attention.position
    assert isinstance(rope, RopeSpec)
    assert not isinstance(rope.scaling, DynamicScaling)
    prompt = [(7 * i) % 250 for i in range(30)]
    long = GenerationSettings(max_new_tokens=5)
    session = ChatSession(model, prompting)
    streamed = "".join(session.stream(prompt, long, lambda _: Numbers()))
    assert [int(w) for w in streamed.split()] == generate(model, [prompt], long, prompting=prompting)[0].ids
