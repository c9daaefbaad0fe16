"""Documents, dialogues, a tokenizer and a recipe small enough to train in a second."""

import json

import pytest

from stemma.cli import main

SENTENCES = [
    "The keeper of the northern light is called Ada.",
    "河边的灯塔由阿达看守。",
    "Ships pass in the night.",
]


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Documents, dialogues and a tokenizer."""
    folder = tmp_path_factory.mktemp("inputs")
    texts = [f"{a} {b} {number}" for number in range(12) for a in SENTENCES for b in SENTENCES]
    lines = [{"id": str(i), "text": text} for i, text in enumerate(texts)]
    (folder / "documents.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "heldout.jsonl").write_text(json.dumps({"id": "h", "text": SENTENCES[0]}) + "\n")
    turns = [
        [("user", f"{a} {n}?"), ("assistant", b)] for n in range(6) for a in SENTENCES for b in SENTENCES
    ]
    dialogues = [{"messages": [{"role": r, "content": c} for r, c in turn * 2]} for turn in turns]
    (folder / "dialogues.jsonl").write_text("".join(json.dumps(d) + "\n" for d in dialogues))
    arguments = [str(folder / "documents.jsonl"), "--vocab-size", "336", "--out", str(folder / "tokenizer")]
    assert main(["tokenizer", "train", *arguments]) == 0
    return folder


@pytest.fixture
def recipe(inputs):
    attention = {"num_heads": 2, "num_kv_heads": 1, "head_dim": 16, "position": {"kind": "rope"}}
    return {
        "seed": 3,
        "steps": 6,
        "tokenizer": str(inputs / "tokenizer"),
        "model": {
            "vocab_size": 400,
            "hidden_size": 32,
            "num_layers": 2,
            "max_seq_len": 64,
            "blocks": [{"attention": attention, "feed_forward": {"intermediate_size": 64}}],
        },
        "data": {
            "train": [str(inputs / "documents.jsonl")],
            "validation": {"sea": str(inputs / "heldout.jsonl")},
            "sequence_length": 32,
        },
        "optimizer": {"learning_rate": 3e-3, "warmup_steps": 2},
        "train": {
            "batch_size": 6,
            "micro_batch_size": 4,
            "validate_every": 3,
            "checkpoint_every": 2,
            "device": "cpu",
        },
    }
