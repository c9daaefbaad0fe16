"""A tiny random model with a real tokenizer and chat template, in memory and as a checkpoint folder."""

import json
from pathlib import Path

import pytest

from stemma.checkpoint import ModuleSource, write_checkpoint
from stemma.families import SpecialIds
from stemma.generate.language_model import LanguageModel, load_language_model
from stemma.model.init import initialize
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, RopeSpec, Spec
from stemma.model.transformer import Transformer
from stemma.tokenizer.train import TrainSettings, train_tokenizer

TEXTS = [
    "Anna lives in Lyon and keeps bees. Her brother Tom lives in Oslo. " * 3,
    "安娜住在里昂，她养蜜蜂。汤姆住在奥斯陆。" * 3,
    "Where does Anna live? In Lyon. 安娜住在哪里？里昂。",
]


def write_folder(folder: Path) -> Path:
    tokenizer = train_tokenizer(TEXTS, TrainSettings(vocab_size=330))
    attention = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8, position=RopeSpec())
    block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=48))
    spec = Spec(vocab_size=336, hidden_size=32, num_layers=2, max_seq_len=128, blocks=(block,))
    model = initialize(Transformer(spec), seed=7, std=0.2)
    ids = SpecialIds(bos=None, eos=(tokenizer.eos_id or 0,), pad=tokenizer.pad_id)
    write_checkpoint(folder, spec, ModuleSource(model), special_ids=ids)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="session")
def language_model(folder: Path) -> LanguageModel:
    return load_language_model(folder, device="cpu")


@pytest.fixture(scope="session")
def questions_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def record(number: int, lang: str, asked: list[str], answer: str, choices: list[str]) -> str:
        roles = ["user", "assistant"] * len(asked)
        messages = [{"role": role, "content": text} for role, text in zip(roles, asked, strict=False)]
        return json.dumps(
            {
                "id": f"q{number}",
                "lang": lang,
                "kind": "place" if number % 2 else "who",
                "turns": (len(asked) + 1) // 2,
                "messages": messages,
                "answer": answer,
                "choices": choices,
            },
            ensure_ascii=False,
        )

    lines = [
        record(0, "en", ["Who keeps bees?"], "Anna", ["Tom", "Anna", "Anna Tom"]),
        record(1, "en", ["Where does Anna live?"], "In Lyon.", ["In Oslo.", "In Lyon."]),
        record(2, "zh", ["谁养蜜蜂？"], "安娜", ["汤姆", "安娜"]),
        record(3, "zh", ["谁养蜜蜂？", "安娜", "她住在哪里？"], "里昂", ["里昂", "奥斯陆", "里"]),
        record(4, "en", ["Who lives in Oslo?"], "Tom", []),
    ]
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
