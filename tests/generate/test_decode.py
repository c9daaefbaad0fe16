import dataclasses

import pytest
import torch

from stemma.errors import StemmaError
from stemma.generate.decode import generate
from stemma.generate.sampling import GenerationSettings
from stemma.generate.stopping import StopStrings, answers, continuations
from stemma.model.transformer import Transformer
from stemma.tokenizer import StreamDecoder, Tokenizer

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11], [12, 13], [3, 2, 1], [9] * 20]
GREEDY = GenerationSettings(max_new_tokens=12)
SAMPLED = GenerationSettings(
    max_new_tokens=12, temperature=1.3, top_k=20, top_p=0.95, repetition_penalty=1.2, seed=5
)


def uncached_greedy(model: Transformer, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_batch_gives_each_prompt_the_tokens_it_gets_alone(
    any_model: Transformer, settings: GenerationSettings
) -> None:
    stop = generate(any_model, [PROMPTS[0]], settings)[0].ids[4]  # so that rows end at different times
    settings = dataclasses.replace(settings, stop_ids=(stop,))
    together = generate(any_model, PROMPTS, settings)
    for index, prompt in enumerate(PROMPTS):
        own = dataclasses.replace(settings, seed=settings.seed + index)
        assert generate(any_model, [prompt], own) == [together[index]]
    assert len({len(answer.ids) for answer in together}) > 1


def test_the_size_of_the_batch_changes_nothing(model: Transformer) -> None:
    expected = generate(model, PROMPTS, SAMPLED)
    for size in (1, 2, 4):
        assert generate(model, PROMPTS, dataclasses.replace(SAMPLED, batch_size=size)) == expected


def test_cached_decoding_equals_running_the_whole_text_each_time(model: Transformer) -> None:
    for prompt, answer in zip(PROMPTS, generate(model, PROMPTS, GREEDY), strict=True):
        assert answer.ids == uncached_greedy(model, prompt, 12)


def test_same_seed_same_answers_and_another_seed_others(model: Transformer) -> None:
    first, again = generate(model, PROMPTS, SAMPLED), generate(model, PROMPTS, SAMPLED)
    assert first == again
    assert first != generate(model, PROMPTS, dataclasses.replace(SAMPLED, seed=99))


def test_stop_ids_end_the_answer_and_do_not_belong_to_it(model: Transformer) -> None:
    free = generate(model, [PROMPTS[0]], SAMPLED)[0].ids
    at = max(i for i in range(len(free)) if free[i] not in free[:i])
    answer = generate(model, [PROMPTS[0]], dataclasses.replace(SAMPLED, stop_ids=(free[at],)))[0]
    assert (answer.ids, answer.finish_reason) == (free[:at], "stop")


def test_an_answer_ends_where_the_context_ends(model: Transformer) -> None:
    answer = generate(model, [[1] * 60], GREEDY)[0]
    assert (len(answer.ids), answer.finish_reason) == (4, "context")
    with pytest.raises(StemmaError, match="64 tokens and the model holds 64"):
        generate(model, [[1] * 64], GREEDY)
    with pytest.raises(StemmaError, match="no tokens"):
        generate(model, [[]], GREEDY)


@pytest.mark.parametrize("pieces", [["ab", "cE", "N", "D more"], list("abcEND"), ["abcEND"], ["abcE", "ND"]])
def test_a_stop_string_is_found_however_it_is_cut_and_nothing_of_it_is_shown(pieces: list[str]) -> None:
    stops = StopStrings(["END", "ENX"])
    shown = [stops.feed(piece) for piece in pieces]
    assert ("".join(shown), stops.stopped) == ("abc", True)


def test_text_that_only_began_like_a_stop_string_is_shown_in_the_end() -> None:
    stops = StopStrings(["\n\n", "END"])
    assert [stops.feed("a\n"), stops.feed("bE"), stops.feed("N"), stops.finish()] == ["a", "\nb", "", "EN"]
    assert not stops.stopped


def test_stop_strings_cut_the_text_of_a_generation(byte_model: Transformer, tokenizer: Tokenizer) -> None:
    prompt = tokenizer.encode("question")
    settings = GenerationSettings(max_new_tokens=30, temperature=1.0, vocab_limit=tokenizer.vocab_size)
    text = generate(byte_model, [prompt], settings, answers(tokenizer))[0].text
    assert text is not None
    stop = text[10:12]
    cut = dataclasses.replace(settings, stop_strings=(stop,))
    answer = generate(byte_model, [prompt], cut, answers(tokenizer))[0]
    assert (answer.text, answer.finish_reason) == (text[: text.index(stop)], "stop")
    with pytest.raises(StemmaError, match="decoder"):
        generate(byte_model, [prompt], cut)


def test_a_continuation_keeps_the_space_between_prompt_and_answer() -> None:
    class Spaced:
        strips_leading_space, utf8_errors, special_ids, unk_id = True, "replace", {}, None

        def token_bytes(self, token: int) -> bytes:
            return [b" The", b" cat"][token]

        def first_bytes(self, token: int) -> bytes:
            return self.token_bytes(token).removeprefix(b" ")

    spaced: Tokenizer = Spaced()  # type: ignore[assignment]
    assert continuations(spaced)([0]).push(1) == " cat"
    assert answers(spaced)([0]).push(1) == "cat"
    assert isinstance(answers(spaced)([0]), StreamDecoder)
