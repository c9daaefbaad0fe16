"""A corpus of a few megabytes in two files, with copies, near copies and personal information across parts and files."""

import json
from pathlib import Path

import numpy as np

from stemma.corpus.summary import CleanSettings

SETTINGS = CleanSettings(part_megabytes=1, on_error="skip")


def write_corpus(folder: Path, num_documents: int = 1800) -> list[Path]:
    """Two files of words drawn at random; every seventh document copies an earlier one, whole or with a change."""
    generator = np.random.default_rng(11)
    vocabulary = ["".join(map(chr, word)) for word in generator.integers(97, 123, (4000, 6))]
    texts: list[str] = []
    for i in range(num_documents):
        words = [vocabulary[j] for j in (generator.zipf(1.3, 450) + generator.integers(0, 3000)) % 4000]
        text = " ".join(words) + f". Write to user{i}@example.com, who answers."
        if i % 7 == 6:
            earlier = texts[int(generator.integers(len(texts)))]
            text = earlier.upper() if i % 2 else earlier + " " + " ".join(words[:20])
        texts.append(text)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "a.jsonl", folder / "b.jsonl"]
    for path, first in zip(paths, (0, num_documents // 3), strict=True):
        last = num_documents // 3 if first == 0 else num_documents
        lines = [json.dumps({"id": str(i), "text": texts[i]}) for i in range(first, last)]
        path.write_text("\n".join([*lines[:50], "{broken", *lines[50:]]) + "\n", "utf-8")
    return paths


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a result."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
