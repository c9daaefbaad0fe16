"""A chain folder with every stage's files, in the forms the stages write, filled from fixed formulas."""

import json
import math
from pathlib import Path
from typing import Any

from stemma.evaluate.grouping import wilson

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'too' {{ 7 * 7 }} $\\frac{1}$ ]]> -->"
)
DOMAINS = ("facts en", "facts zh", "market en", "market zh", "stories en", "stories zh")


def write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False, indent=2), encoding="utf-8")


def write_cleaning(folder: Path) -> None:
    rules = {
        "exact_duplicate": 412,
        "near_duplicate": 655,
        "repetition_ngrams": 188,
        "invalid_links": 96,
        "invalid_damaged": 75,
        "too_short": 64,
        "repetition_lines": 33,
    }
    samples = {
        "near_duplicate": [
            "今天早上，安娜在市场买了三个苹果，一共付了十二元。",
            "Anna bought three apples this morning.",
        ],
        "invalid_links": ["http://example.com/a http://example.com/b " + HOSTILE],
    }
    counts = {
        "documents_in": 4600,
        "documents_kept": 3890,
        "characters_in": 911_000,
        "characters_out": 803_112,
    }
    write(
        folder / "clean" / "cleaning.json",
        {
            "version": "0.1.0",
            "settings": {"jaccard": 0.7, "shingle_size": 5},
            "inputs": [{"name": "documents.jsonl.zst", "num_bytes": 1_204_332, "sha256": "ab" * 32}],
            "ignored_files": [],
            "total": {
                "documents_in": 9312,
                "documents_kept": 7789,
                "characters_in": 2_104_331,
                "characters_out": 1_760_125,
            },
            "documents_dropped": 1523,
            "documents_edited": 241,
            "bad_records": {"no text": 3},
            "bad_examples": ["documents.jsonl line 17: no text"],
            "by_rule": rules,
            "by_language": {"zh": counts, "en": counts | {"documents_kept": 3899}, "": counts},
            "by_source": {"playground/facts": counts, "playground/market": counts},
            "redacted": {"email": 120, "phone": 88, "identity_card": 33},
            "largest_clusters": [{"id": "doc-00017", "documents": 41}],
            "num_full_buckets": 0,
            "samples": samples,
            "outputs": {"documents/000000.parquet": "cd" * 32},
        },
    )
    judged = {"exact duplicates": {"found": 497, "planted": 500, "rate": 0.994}}
    write(folder / "clean" / "label_check.json", judged)


def write_tokenizer(folder: Path) -> None:
    vocabulary = {chr(300 + index): index for index in range(2000)}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [["a", "b"]] * 1740}
    special = [{"content": name, "special": True} for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    data = {"added_tokens": special, "model": model, "decoder": {"type": "ByteLevel"}}
    write(folder / "tokenizer" / "tokenizer.json", data)
    rates = {
        "runs/demo/tokenizer": (2000, 0.52, 0.21),
        "gpt2": (50_257, 1.98, 0.23),
        "llama": (32_000, 1.45, 0.25),
    }
    rows = [
        {
            "tokenizer": name,
            "vocab_size": size,
            "language": language,
            "characters": 90_000,
            "tokens": round(90_000 * rate),
            "tokens_per_character": rate,
            "tokens_per_byte": rate / 2.9,
            "unknown_rate": 0.0,
        }
        for name, (size, *both) in rates.items()
        for language, rate in zip(("zh", "en"), both, strict=True)
    ]
    write(folder / "tokenizer" / "compression.json", rows)


def write_run(folder: Path, steps: int = 900, floor: float = 1.0) -> None:
    lines = []
    for step in range(1, steps + 1):
        noise = 0.12 * math.sin(step * 12.9898) * math.sin(step * 78.233)
        loss = floor + 6.2 * math.exp(-step / 60) + 1.1 * math.exp(-step / 400) + noise
        rate = 3e-3 * min(1, step / 60) * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        lines.append(
            {"kind": "train", "step": step, "tokens": step * 8192, "loss": loss, "bits_per_byte": loss / 2.9,
             "learning_rate": rate, "grad_norm": 0.4 + 2 * math.exp(-step / 50) + abs(noise) + 3 * (step == 520),
             "tokens_per_second": 21_000 + 900 * math.sin(step / 9), "seconds": step * 0.39}
        )  # fmt: skip
        if step % (steps // 9) == 0:
            for index, domain in enumerate(DOMAINS):
                value = loss - noise + 0.08 * index
                lines.append({"kind": "validation", "step": step, "domain": domain, "loss": value,
                              "bits_per_byte": value / 2.9, "tokens": 9000, "bytes": 30_000})  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    versions = {"stemma": "0.1.0", "python": "3.11.9", "torch": "2.13.0+cpu", "numpy": "2.3.4"}
    write(
        folder / "run.json",
        {"command": f"stemma pretrain recipes/{folder.name}.toml", "versions": versions, "status": "finished",
         "tokens": steps * 8192, "steps": steps, "seconds": steps * 0.39, "num_parameters": 4_213_504,
         "device": "cpu", "dtype": "float32", "seed": 0},
    )  # fmt: skip
    (folder / "config.toml").write_text(
        '[model]\nhidden_size = 192\nnum_layers = 6\n\n[train]\nname = "<b>x</b>"\n'
    )


def write_evaluation(path: Path, share: float) -> None:
    def part(total: int, change: float = 0.0, likely: bool = True) -> dict[str, Any]:
        right = round(total * min(1.0, max(0.0, share + change)))
        low, high = wilson(right, total)
        score: dict[str, Any] = {
            "accuracy": right / total,
            "low": low,
            "high": high,
            "correct": right,
            "count": total,
        }
        if likely:
            score |= {"likelihood": part(total, 0.02, False), "likelihood_per_byte": part(total, 0.01, False)}
        return score

    def example(kind: str, lang: str, question: str, expected: str, answered: str) -> dict[str, Any]:
        return {
            "id": "q",
            "kind": kind,
            "lang": lang,
            "turns": 2,
            "question": question,
            "expected": expected,
            "answered": answered,
            "likeliest": expected,
            "likeliest_per_byte": expected,
            "too_long": False,
        }

    kinds = ("fact", "price", "sum", "product", "kinship", "order_of_events")
    examples = [
        example("fact", "zh", "安娜住在哪里？", "安娜住在海边的小城。", "安娜住在海边的小城。"),
        example("price", "en", "And three?", "Three apples cost 12 yuan.", "Three apples cost 12 yuan."),
        example("sum", "en", "How much is 17 and 14? " + HOSTILE, "31", HOSTILE),
    ]
    sizes = {"loss": 1.2, "documents": 120, "tokens": 9000, "bytes": 31_000}
    bits = {
        name: {"bits_per_byte": 0.62 - 0.2 * share + 0.03 * n, "low": 0.4, "high": 0.7} | sizes
        for n, name in enumerate(DOMAINS)
    }
    references = {
        name: {
            "xz -9": 1.35 + 0.05 * n,
            "zstd -19": 1.48 + 0.05 * n,
            "zstd -19 after training text": 0.9 + 0.04 * n,
            "unigram": 2.6 - 0.1 * n,
        }
        for n, name in enumerate(DOMAINS)
    }
    chat = "base" not in path.stem
    groups = {
        "kind": {kind: part(120, 0.03 * math.sin(3 * n)) for n, kind in enumerate(kinds)},
        "lang": {"en": part(360, 0.01), "zh": part(360, -0.01)},
        "turns": {"1": part(500, 0.01), "2": part(220, -0.02)},
    }
    score = part(720) | {
        "protocol": "chat" if chat else "plain",
        "too_long": 0,
        "by": groups,
        "examples": examples,
    }
    write(
        path,
        {
            "model": f"runs/demo/{path.stem}/model",
            "digest": "ab" * 32,
            "protocols": {
                "bits_per_byte": "windows of 256 tokens, stride 128, every token scored once",
                "compressors": "documents of a domain together, a newline between them",
                "unigram": "token frequencies of the training documents, add-one smoothing",
                "chat": "chat template, 0 examples; greedy, at most 64 tokens",
                "plain": "plain text, question and answer on lines of their own, 3 examples",
            },
            "bits_per_byte": bits,
            "references": references,
            "questions": score,
            "other_protocols": {"plain": score | {"protocol": "plain"}} if chat else {},
        },
    )


def measurement(shift: float) -> dict[str, Any]:
    ends = (16, 64, 256)
    buckets = [
        {
            "first": 1 + end // 4,
            "last": end,
            "perplexity_before": 9 - 0.7 * n,
            "perplexity_after": (9 - 0.7 * n) * (1 + shift),
        }
        for n, end in enumerate(ends)
    ]
    return {
        "max_logit_difference": 3e-6 + 9 * shift,
        "mean_logit_difference": 2e-7 + shift,
        "logit_std": 2.4,
        "same_top_token": 1 - shift,
        "kl_per_token": 1e-10 + shift / 4,
        "max_kl": 1e-8 + shift,
        "perplexity_before": 7.42,
        "perplexity_after": 7.42 * (1 + shift),
        "bits_per_byte_before": 0.58,
        "bits_per_byte_after": 0.58 + shift / 3,
        "by_position": buckets,
    }


def certificate(claim: str) -> dict[str, Any]:
    exact = claim == "exact"
    shift = 0.0 if exact else 0.21
    step = {
        "name": "expand_heads" if exact else "group_heads",
        "does": "gives every query head its own key and value head",
        "exactness": "exact" if exact else "approximate",
        "condition": None,
        "exact_here": exact,
        "changes": ["blocks[0].attention.num_kv_heads: 8 -> 2"],
        "healing": "none" if exact else "about 1% of the tokens",
        "literature": "Ainslie et al. 2023, GQA, arXiv 2305.13245",
    }
    sides = {
        "family": "llama",
        "dtype": "float32",
        "parameters": 4_213_504,
        "weights_sha256": {"model.safetensors": "ef" * 32},
    }
    names = [f"layers.{n}.attention.key.weight" for n in range(6)]
    return {
        "kind": "stemma upgrade certificate",
        "claim": claim,
        "command": "stemma upgrade runs/demo/sft/model --to gqa-2",
        "versions": {"stemma": "0.1.0", "torch": "2.13.0"},
        "input": sides | {"kv_bytes_per_token": 9216},
        "output": sides | {"kv_bytes_per_token": 2304, "parameters": 3_990_112},
        "operations": [step],
        "tensors": {"used": names, "unused": [], "invented": ["head.weight"]},
        "text": {
            "kind": "built-in zh/en text",
            "sha256": "12" * 32,
            "windows": 16,
            "window_length": 257,
            "predicted_tokens": 4096,
            "bytes": 12_331,
        },
        "tolerance": {"relative": 1e-4, "largest": 2.4e-4, "why": "the largest logit difference"},
        "measured": measurement(shift),
        "before_rounding": None,
        "healing": None
        if exact
        else {
            "steps": 60,
            "tokens": 491_520,
            "settings": {"learning_rate": "1e-3"},
            "data_sha256": {},
            "measured": measurement(0.02),
        },
    }


def write_rest(folder: Path) -> None:
    stages = [
        ("clean", 7.4),
        ("tokenizer", 3.1),
        ("pretrain", 351.0),
        ("sft", 142.2),
        ("evaluate", 61.8),
        ("upgrade", 38.9),
    ]
    commands = [
        {"stage": name, "command": f"stemma {name} --out runs/demo/{name}", "seconds": seconds}
        for name, seconds in stages
    ]
    write(folder / "commands.json", commands)
    turns = [
        {"role": "user", "content": "Who are you? 你是谁？"},
        {"role": "assistant", "content": "我是小语。"},
    ]
    write(folder / "chat.json", [{"model": "sft", "messages": turns}, {"model": HOSTILE, "messages": turns}])
