"""Configs no model has, per family: one sentence that says what, where and what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from stemma.checkpoint import open_checkpoint
from stemma.errors import StemmaError
from stemma.families import family_of_config

GOLDEN = Path(__file__).resolve().parent.parent / "golden"

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "rope_ratio is text": (
        "chatglm3-6b-32k",
        {"rope_ratio": "50"},
        "rope_ratio: expected float, found str '50'",
    ),
    "another rotary code": (
        "chatglm2-6b",
        {"original_rope": False},
        "original_rope is False, which cannot be honoured",
    ),
    "a P-tuning prefix": ("chatglm2-6b", {"pre_seq_len": 128}, "pre_seq_len is 128.*P-tuning"),
    "one row of positions": ("chatglm-6b", {"position_encoding_2d": False}, "position_encoding_2d is False"),
    "an odd width": ("qwen-7b", {"intermediate_size": 177}, "intermediate_size 177 is odd.*twice the width"),
    "heads that do not divide": ("gpt2", {"n_head": 5}, "n_embd 48 is not a multiple of n_head 5"),
    "groups that do not divide": (
        "falcon-40b",
        {"num_kv_heads": 3},
        "num_heads 4 is not a multiple of num_kv_heads 3",
    ),
    "inverse layer scale": (
        "gpt2",
        {"scale_attn_by_inverse_layer_idx": True},
        "scale that falls with the layer",
    ),
    "an unknown gate": (
        "t5-v1.1",
        {"feed_forward_proj": "gated-mish"},
        "feed_forward_proj 'gated-mish' is not known",
    ),
    "a T5 encoder alone": ("t5-v1.0", {"is_encoder_decoder": False}, "a T5 encoder alone is another model"),
    "mBART": ("bart", {"normalize_before": True}, "normalize_before is True.*mBART"),
    "relative BERT": (
        "bert",
        {"position_embedding_type": "relative_key"},
        "position_embedding_type is 'relative_key'",
    ),
    "norms without weights": ("opt-preln", {"layer_norm_elementwise_affine": False}, "norms without weights"),
    "layers of no kind": (
        "qwen2-sliding",
        {"layer_types": ["full_attention", "linear"]},
        "layer_types must name 2 layers",
    ),
    "too few layer types": (
        "qwen2-sliding",
        {"layer_types": ["full_attention"]},
        "layer_types must name 2 layers",
    ),
    "more layers than any model": (
        "qwen2-sliding",
        {"num_hidden_layers": 2**40},
        "num_hidden_layers is 1099511627776",
    ),
    "more experts than there are": (
        "mixtral",
        {"num_experts_per_tok": 9},
        "experts_per_token is 9, more than the 4",
    ),
    "no experts": ("mixtral", {"num_local_experts": 0}, "num_experts is 0"),
    "a window of nothing": ("mistral-sliding", {"sliding_window": 0}, "window is 0"),
    "a learned table of nothing": (
        "opt-preln",
        {"max_position_embeddings": 0},
        "config.json: offset 2 leaves none of 2 position rows",
    ),
    "a negative length": ("bert", {"max_position_embeddings": -5}, "config.json: num_rows is -5"),
    "a key nobody knows": ("bloom", {"n_heads": 4}, "key 'n_heads' is not known; did you mean"),
}


def config_of(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name / "config.json").read_text())


@pytest.mark.parametrize(("name", "change", "message"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_cannot_be_honoured_is_one_sentence(
    name: str, change: dict[str, Any], message: str
) -> None:
    config = config_of(name) | change
    with pytest.raises(StemmaError, match=message) as error:
        family_of_config(config).spec_of(config)
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_model_type_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(
        StemmaError, match="model_type 'chatglmm' is not a known family; did you mean 'chatglm'"
    ):
        family_of_config({"model_type": "chatglmm"})
    with pytest.raises(StemmaError, match="has no model_type; add the one of its family"):
        family_of_config({"architectures": ["SomethingForCausalLM"]})


@pytest.mark.parametrize(
    ("first", "second"), [("chatglm-6b", "chatglm2-6b"), ("glm-10b", "glm"), ("qwen-7b", "qwen2-tied")]
)
def test_families_that_share_a_name_are_told_apart_by_their_keys(first: str, second: str) -> None:
    one, other = (family_of_config(config_of(name)) for name in (first, second))
    assert one.name != other.name


def test_rope_ratio_divides_positions_in_the_second_generation_and_multiplies_the_base_in_the_third() -> None:
    config = config_of("chatglm2-6b")
    family = family_of_config(config)

    def rope(**change: Any) -> Any:
        return family.spec_of(config | change).blocks[0].attention.position

    assert rope(rope_ratio=16).scaling.factor == 16
    assert rope(rope_ratio=50).theta == 500_000
    assert rope(rope_ratio=8, _name_or_path="THUDM/chatglm2-6b-32k").scaling.factor == 8
    assert rope(rope_ratio=16, rope_ratio_acts_on="base").theta == 160_000
    assert rope(rope_ratio=1).scaling is None
    for change in ({"rope_ratio": 16}, {"rope_ratio": 50}, {}):
        spec = family.spec_of(config | change)
        assert family.spec_of(family.write(spec)) == spec


def test_a_file_with_a_special_id_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((GOLDEN / "t5-v1.0" / name).read_bytes())
    config = config_of("t5-v1.0") | {"decoder_start_token_id": 300}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(StemmaError, match="special token id 300 lies outside the vocabulary of 256"):
        open_checkpoint(tmp_path)
