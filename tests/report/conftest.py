"""A chain folder to report on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stage_files import (
    certificate,
    write,
    write_cleaning,
    write_evaluation,
    write_rest,
    write_run,
    write_tokenizer,
)


@pytest.fixture
def chain(tmp_path: Path) -> Callable[..., Path]:
    """`chain()` writes the whole folder; `chain("clean", "upgrade")` only those stages."""

    def build(*stages: str, name: str = "quickstart") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        writers: dict[str, Callable[[], object]] = {
            "clean": lambda: write_cleaning(folder),
            "tokenizer": lambda: write_tokenizer(folder),
            "pretrain": lambda: write_run(folder / "pretrain"),
            "sft": lambda: write_run(folder / "sft", 300, 0.4),
            "evaluate": lambda: [
                write_evaluation(folder / "evaluate" / f"{model}.json", share)
                for model, share in (("base", 0.18), ("sft", 0.955), ("sft-first-epoch", 0.71))
            ],
            "upgrade": lambda: write(folder / "upgrade" / "certificate.json", certificate("approximate")),
            "rest": lambda: write_rest(folder),
        }
        for stage in stages or writers:
            writers[stage]()
        return folder

    return build
