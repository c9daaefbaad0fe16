"""The difference of two architectures in words: right words, no difference dropped, none invented."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.config import parse, plain
from stemma.errors import StemmaError
from stemma.families import describe
from stemma.families.compare import Architecture, Story, story
from stemma.families.figures import count, memory, ratio, size
from stemma.families.presets import preset_names, preset_spec
from stemma.model.spec import Spec

# One of every layout, and one of every kind of positions and of length extension.
KINDS = (
    *("chatglm-6b", "chatglm2-6b-32k", "chatglm3-6b", "glm-10b", "glm-4-9b-0414", "qwen-7b", "qwen3-8b"),
    *("t5-small", "t5-v1.1-base", "bart-base", "bert-base-uncased", "opt-350m", "bloom-560m", "gpt2"),
    *("falcon-rw-1b", "falcon-40b", "qwen1.5-moe-a2.7b", "mixtral-8x7b", "mistral-7b-v0.1", "llama-3.1-8b"),
    *("internlm3-8b", "internlm-7b", "baichuan2-13b", "qwen2.5-0.5b", "glm-4-9b"),
)
CHOICES = (
    *("rmsnorm", "layernorm", "none", "gelu", "silu", "gelu_tanh", "relu", "plain", "gated", "pre", "post"),
    *("sandwich", "normed", "parallel", "parallel_two"),
)
# Facts that act on nothing: the epsilon of a norm that is not there, the direction of a stack beside another.
SILENT = re.compile(r"(encoder\.)?(inputs\.norm|final_norm)\.eps|.*\.causal")


def architecture(name: str) -> Architecture:
    family, spec = preset_spec(name)
    return Architecture(spec, family)


def told(before: str, after: str) -> dict[str, str]:
    return {p.facet: str(p) for p in story(architecture(before), architecture(after)).phrases}


def test_the_upgrade_of_chatglm_reads_as_it_happened() -> None:
    phrases = told("chatglm-6b", "chatglm2-6b")
    expected = {
        "mask": "prefix (the context sees all of itself) -> causal",
        "attention": "MHA with 32 heads of 128 -> GQA with 32 heads of 128, 2 groups of keys and values "
        "(KV cache 458,752 -> 28,672 bytes a token, 16x smaller)",
        "feed-forward": "GELU (tanh) MLP 16,384 -> SwiGLU 13,696",
        "norm": "LayerNorm, residual carries the normalised input x 7.483 -> RMSNorm, pre-norm",
        "positions": "frequencies rounded to float16 -> RoPE on half of each head, interleaved, base 10,000",
        "biases": "everywhere -> query, key, value only",
        "vocabulary": "130,528 -> 65,024",
        "context": "2,048 -> 32,768 (16x longer; KV cache at full length still 896 MiB)",
        "parameters": "6,173,286,400 -> 6,243,584,000",
        "chat format": "chatglm -> chatglm2",
        "head": "tied to the embedding -> a matrix of its own",
    }
    assert set(phrases) == set(expected)
    for facet, words in expected.items():
        assert words in phrases[facet]
    assert "Multi-Query" not in " ".join(phrases.values())


def test_a_second_generation_of_the_same_block_is_a_short_story() -> None:
    assert set(told("llama-2-7b", "llama-2-70b")) == {
        "layers",
        "hidden size",
        "attention",
        "feed-forward",
        "parameters",
    }
    assert set(told("chatglm2-6b", "chatglm3-6b")) == {"context", "chat format"}


def test_both_stacks_that_change_alike_are_told_once() -> None:
    phrases = told("t5-small", "t5-base")
    assert "encoder attention" not in phrases
    assert phrases["encoder"] == "encoder: 6 layers beside the decoder -> 12 layers beside the decoder"
    assert story(architecture("t5-small"), architecture("t5-base")).unsaid == []


def test_a_model_that_does_not_generate_has_no_cache_in_its_story() -> None:
    assert "KV cache" not in " ".join(told("gpt2", "bert-base-uncased").values())


@pytest.mark.parametrize("name", KINDS)
def test_equal_architectures_have_no_story(name: str) -> None:
    assert story(architecture(name), architecture(name)) == Story([], [], [])


def complete(before: Architecture, after: Architecture) -> None:
    found = story(before, after)
    assert bool(found.phrases) == bool(found.changes)
    assert found.unsaid == []
    for phrase in found.phrases:
        assert phrase.before
        assert phrase.after
        assert phrase.before != phrase.after


@pytest.mark.parametrize("before", KINDS)
def test_every_change_between_layouts_has_a_phrase(before: str) -> None:
    for after in KINDS:
        complete(architecture(before), architecture(after))


@settings(max_examples=60)
@given(st.sampled_from(preset_names()), st.sampled_from(preset_names()))
def test_every_change_between_published_models_has_a_phrase(before: str, after: str) -> None:
    complete(architecture(before), architecture(after))


def leaves(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        if isinstance(value, (dict, list)):
            yield from leaves(value, (*place, key))
        elif not (key == "kind" and "position" in place):
            yield (*place, key), value


def variants(spec: Spec) -> Iterator[Spec]:
    """Every valid Spec that differs in one value."""
    base = plain(spec)
    for place, value in leaves(base):
        others: tuple[Any, ...] = CHOICES
        if isinstance(value, bool):
            others = (not value,)
        elif not isinstance(value, str):
            others = (value * 2, value // 2) if isinstance(value, int) else (value * 2, value + 1)
        for other in others:
            changed = copy.deepcopy(base)
            target = changed
            for key in place[:-1]:
                target = target[key]
            target[place[-1]] = other
            try:
                yield parse(Spec, changed)
            except StemmaError:
                continue


@pytest.mark.parametrize("name", KINDS)
def test_every_single_value_is_in_the_words_or_listed_as_it_is(name: str) -> None:
    family, spec = preset_spec(name)
    seen = 0
    for changed in variants(spec):
        found = story(Architecture(spec, family), Architecture(changed, family))
        assert found.phrases or found.unsaid or changed == spec
        assert all(SILENT.fullmatch(change.path) for change in found.unsaid)
        seen += bool(found.phrases)
    assert seen > 20


def test_layers_that_differ_are_counted() -> None:
    family, spec = preset_spec("llama-7b")
    data = plain(spec)
    windowed = copy.deepcopy(data["blocks"][0])
    windowed["attention"]["window"] = 4096
    data["blocks"] = [data["blocks"][0], windowed]
    mixed = Architecture(parse(Spec, data), family)
    found = story(Architecture(spec, family), mixed)
    assert [p.facet for p in found.phrases] == ["scores"]
    assert found.phrases[0].after == "plain in 16 of 32 layers; window of 4,096 keys in 16 of 32 layers"
    assert found.unsaid == []
    data["blocks"].reverse()
    swapped = story(mixed, Architecture(parse(Spec, data), family))
    assert swapped.phrases == []
    assert len(swapped.unsaid) == len(swapped.changes) == 2


@pytest.mark.parametrize(
    ("name", "facet", "words"),
    [
        ("chatglm-6b", describe.feed_forward, "GELU (tanh) MLP 16,384"),
        ("chatglm2-6b", describe.feed_forward, "SwiGLU 13,696"),
        ("t5-v1.1-small", describe.feed_forward, "GeGLU (tanh) 1,024"),
        ("chatglm2-6b", describe.attention, "GQA with 32 heads of 128, 2 groups of keys and values"),
        ("falcon-7b", describe.attention, "MQA with 71 heads of 64, one key and value for all"),
        ("baichuan-13b", describe.positions, "ALiBi"),
        ("opt-125m", describe.positions, "learned table of 2,050 rows, read from row 2 on"),
        ("bert-base-uncased", describe.norm, "LayerNorm, post-norm, no final norm"),
        ("glm-4-9b-0414", describe.norm, "RMSNorm, sandwich: before and after each branch"),
        ("internlm-7b", describe.biases, "query, key, value, attention output only"),
    ],
)
def test_facets_are_named_as_the_field_names_them(name: str, facet: Any, words: str) -> None:
    assert facet(describe.stacks(preset_spec(name)[1])[""]) == words


def test_figures_read_as_people_write_them() -> None:
    assert size(70e9 * 2) == "140 GB"
    assert memory(1119 * 458_752) == "489.6 MiB"
    assert memory(8192 * 28_672) == "224 MiB"
    assert [count(n) for n in (6_173_286_400, 999_960, 512)] == ["6.2 B", "1 M", "512"]
    assert [size(n) for n in (0, 999, 1000, 1.6e12, 3e15)] == ["0 B", "999 B", "1 kB", "1.6 TB", "3,000 TB"]
    assert ratio(458_752, 28_672) == "16x smaller"
    assert ratio(2048, 40_960, "longer", "shorter") == "20x longer"
    assert ratio(100_000, 100_001) == ""


def test_all_layouts_are_among_the_kinds() -> None:
    layouts = {preset_spec(name)[0].name for name in preset_names()}
    assert {preset_spec(name)[0].name for name in KINDS} == layouts
