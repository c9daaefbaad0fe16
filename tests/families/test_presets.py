"""Presets read as the published configs would; their parameters are counted as their authors count them."""

import tomllib

import pytest

from stemma.errors import StemmaError
from stemma.families import families, family_of_config
from stemma.families.describe import active_parameters
from stemma.families.presets import FOLDER, preset, preset_config, preset_names, preset_spec

# What the libraries that carry them report for the published weights, tied matrices once.
PUBLISHED = {
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "yi-6b": 6_061_035_520,
    "mistral-7b-v0.1": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "falcon-rw-1b": 1_311_625_216,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "bert-base-uncased": 109_514_298,
    "t5-small": 60_506_624,
    "t5-11b": 11_307_321_344,
    "flan-t5-xl": 2_849_757_184,
    "bloom-560m": 559_214_592,
    "bloom-7b1": 7_069_016_064,
    "bloom-176b": 176_247_271_424,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "qwen-7b": 7_721_324_544,
    "qwen-14b": 14_167_290_880,
    "qwen-72b": 72_287_920_128,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-8b": 8_190_735_360,
    "baichuan-7b": 7_000_559_616,
    "baichuan-13b": 13_264_901_120,
    "chatglm-6b": 6_173_286_400,
    "chatglm-6b-v1.0": 6_255_206_400,
    "glm-4-9b": 9_399_951_360,
    # 6,243,584,032 with a buffer of 32 rotary frequencies
    "chatglm2-6b": 6_243_584_032 - 32,
    # 139,420,416 without the bias of the logits, which the original keeps as a buffer
    "bart-base": 139_420_416 + 50_265,
}
# What the authors round to, within a per cent of it.
ROUNDED = {
    "opt-66b": 65.7e9,
    "falcon-40b": 41.3e9,
    "glm-10b": 9.88e9,
    "internlm-7b": 7.3e9,
    "internlm-20b": 20e9,
    "internlm3-8b": 8.8e9,
    "skywork-13b": 13.8e9,
    "yi-34b": 34.4e9,
    "mixtral-8x22b": 141e9,
}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_reads_as_its_config_would(name: str) -> None:
    family, spec = preset_spec(name)
    config = preset_config(name)
    assert family is family_of_config(config)
    assert spec == family.spec_of(config)
    assert not family.losses(spec)
    assert preset(name).model
    assert preset(name).source


def test_every_published_layout_has_a_preset() -> None:
    covered = {preset_spec(name)[0].name for name in preset_names()}
    shipped = {family.name for family in families() if family.read.__module__.startswith("stemma.families.")}
    assert covered == shipped - {"stemma"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_counted_as_published(name: str) -> None:
    assert preset_spec(name)[1].num_parameters() == PUBLISHED[name]


@pytest.mark.parametrize("name", ROUNDED)
def test_parameters_agree_with_the_rounded_figure(name: str) -> None:
    assert preset_spec(name)[1].num_parameters() == pytest.approx(ROUNDED[name], rel=0.01)


def test_a_mixture_passes_a_token_through_a_part_of_itself() -> None:
    mixtral = preset_spec("mixtral-8x7b")[1]
    expert = 3 * 4096 * 14336
    assert active_parameters(mixtral) == mixtral.num_parameters() - 32 * 6 * expert
    assert active_parameters(mixtral) == pytest.approx(12.9e9, rel=0.01)
    dense = preset_spec("llama-7b")[1]
    assert active_parameters(dense) == dense.num_parameters()


def test_the_two_meanings_of_rope_ratio_are_kept_apart() -> None:
    second = preset_spec("chatglm2-6b-32k")[1].blocks[0].attention.position
    third = preset_spec("chatglm3-6b-32k")[1].blocks[0].attention.position
    assert second.kind == third.kind == "rope"
    assert (second.theta, second.scaling.factor) == (10_000, 16)
    assert (third.theta, third.scaling) == (500_000, None)


def test_a_name_is_found_in_any_case_and_a_wrong_one_is_suggested() -> None:
    assert preset("ChatGLM2-6B") == preset("chatglm2-6b")
    with pytest.raises(StemmaError, match="did you mean 'chatglm2-6b'"):
        preset("chatglm2-6bb")
    with pytest.raises(StemmaError, match="--list"):
        preset("zzzz")


def test_a_config_given_away_can_be_changed() -> None:
    preset_config("gpt2")["n_layer"] = 1
    assert preset_config("gpt2")["n_layer"] == 12


def test_names_are_lower_case_and_stand_in_one_file() -> None:
    tables = [tomllib.loads(path.read_text("utf-8"))["models"] for path in FOLDER.glob("*.toml")]
    names = [name for table in tables for name in table]
    assert sorted(names) == preset_names()
    assert [name.lower() for name in names] == names
