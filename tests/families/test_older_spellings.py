"""Files as they were first published: other keys, names without their prefix, copies of tied matrices, old buffers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from stemma.checkpoint import load_model, open_checkpoint, write_checkpoint
from stemma.checkpoint.parity import run_cases
from stemma.errors import StemmaError
from stemma.families import family_of_config

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
Tensors = dict[str, torch.Tensor]


def config_of(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name / "config.json").read_text())


def renamed(config: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in config.items()}


CONFIGS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "the first Qwen-7B": (
        "qwen-7b",
        lambda c: renamed(
            c,
            hidden_size="n_embd",
            num_hidden_layers="n_layer",
            num_attention_heads="n_head",
            intermediate_size="ffn_hidden_size",
            vocab_size="padded_vocab_size",
        ),
    ),
    "BLOOM of 2022": (
        "bloom",
        lambda c: (
            renamed(c, hidden_size="n_embed", n_head="num_attention_heads")
            | {"masked_softmax_fusion": True, "offset_alibi": 100, "skip_bias_add": True}
        ),
    ),
    "Falcon-7B as RefinedWebModel": (
        "falcon-7b",
        lambda c: (
            renamed(c, num_attention_heads="n_head", num_hidden_layers="n_layer")
            | {"model_type": "RefinedWebModel", "architectures": ["RWForCausalLM"]}
        ),
    ),
    "Falcon-40B as RefinedWeb": (
        "falcon-40b",
        lambda c: (
            {
                k: v
                for k, v in renamed(
                    c, num_attention_heads="n_head", num_hidden_layers="n_layer", num_kv_heads="n_head_kv"
                ).items()
                if k not in ("new_decoder_architecture", "num_ln_in_parallel_attn")
            }
            | {"model_type": "RefinedWeb"}
        ),
    ),
    "BERT without a model_type": ("bert", lambda c: {k: v for k, v in c.items() if k != "model_type"}),
    "Skywork by its own name": (
        "llama1-mha",
        lambda c: c | {"model_type": "skywork", "architectures": ["SkyworkForCausalLM"]},
    ),
}


@pytest.mark.parametrize(("name", "older"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_of_older_keys_describes_the_same_model(
    name: str, older: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    now = config_of(name)
    before = older(now)
    assert before != now
    assert family_of_config(before).spec_of(before) == family_of_config(now).spec_of(now)


def without(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def gamma_beta(tensors: Tensors) -> Tensors:
    def older(name: str) -> str:
        if "LayerNorm" not in name:
            return name
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    pooler = {"bert.pooler.dense.weight": torch.ones(48, 48), "cls.seq_relationship.bias": torch.ones(2)}
    return {older(name): tensor for name, tensor in tensors.items()} | pooler


def with_buffers(tensors: Tensors) -> Tensors:
    triangle = {f"h.{layer}.attn.bias": torch.ones(1, 1, 64, 64).tril() for layer in range(2)}
    return without("transformer.")(tensors) | triangle


def with_copies(*names: str, of: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name: tensors[of].clone() for name in names}


FILES: dict[str, tuple[str, Callable[[Tensors], Tensors]]] = {
    "GPT-2 without its prefix, with its causal buffers": ("gpt2", with_buffers),
    "BLOOM without its prefix": ("bloom", without("transformer.")),
    "OPT without its prefix": ("opt-preln", without("model.")),
    "BART without its prefix": ("bart", without("model.")),
    "BERT with gamma, beta and a pooler": ("bert", gamma_beta),
    "T5 with three copies of its embedding": (
        "t5-v1.0",
        with_copies(
            "encoder.embed_tokens.weight",
            "decoder.embed_tokens.weight",
            "lm_head.weight",
            of="shared.weight",
        ),
    ),
    "Falcon with its tied head written out": (
        "falcon-7b",
        with_copies("lm_head.weight", of="transformer.word_embeddings.weight"),
    ),
}


@pytest.mark.parametrize(("name", "older"), FILES.values(), ids=FILES)
def test_a_file_of_older_names_gives_the_recorded_logits_and_is_written_back_as_it_was(
    name: str, older: Callable[[Tensors], Tensors], tmp_path: Path
) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    for file in ("config.json", "expected.safetensors", "facts.json"):
        (folder / file).write_bytes((GOLDEN / name / file).read_bytes())
    tensors = older(load_file(GOLDEN / name / "model.safetensors"))
    assert tensors.keys() != load_file(GOLDEN / name / "model.safetensors").keys()
    save_file(tensors, folder / "model.safetensors")
    found = open_checkpoint(folder)
    assert [case for case in run_cases(load_model(found), folder) if not case.passed] == []
    write_checkpoint(
        tmp_path / "copy", found.spec, found.tensors, family=found.family, special_ids=found.special_ids
    )
    written = load_file(tmp_path / "copy" / "model.safetensors")
    assert written.keys() == tensors.keys()
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in written.items())


def test_a_copy_that_differs_from_what_it_copies_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((GOLDEN / "t5-v1.0" / "config.json").read_bytes())
    tensors = load_file(GOLDEN / "t5-v1.0" / "model.safetensors")
    tensors["lm_head.weight"] = tensors["shared.weight"] + 1
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(StemmaError, match=r"'lm_head.weight' differs from 'shared.weight'"):
        open_checkpoint(tmp_path)
