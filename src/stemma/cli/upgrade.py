"""Change the architecture or the layout of a checkpoint, measure what changed, and write it with a certificate.

An operation that claims to be exact and measures otherwise writes nothing and exits with 1.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="A")]
    """checkpoint folder to upgrade; it is only read"""
    to: tyro.conf.UseAppendAction[tuple[str, ...]]
    """checkpoint folder, Spec file, family name (llama), or a change (num_kv_heads=2); may be repeated"""
    out: Path
    """folder to write; must not exist"""
    text: Path | None = None
    """UTF-8 text to measure on; without it a built-in Chinese and English text"""
    windows: int = 8
    """number of token windows to measure on"""
    window_length: int = 256
    """tokens of one window; never more than the trained length"""
    heal_data: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """documents to continue training on after the upgrade; may be repeated"""
    heal_steps: int = 0
    """optimiser steps of that training"""
    heal_learning_rate: float = 1e-4
    """peak learning rate of that training"""
    heal_precision: Literal["float32", "bfloat16"] | None = None
    """dtype of that training's matrix products; by default what the machine multiplies in"""
    json: bool = False
    """print the certificate as JSON"""


def run(args: Args) -> int | None:
    from stemma.config import plain
    from stemma.progress import say
    from stemma.train.settings import native_precision
    from stemma.upgrade.heal import HealSettings
    from stemma.upgrade.table import print_certificate
    from stemma.upgrade.upgrade import UpgradeSettings, upgrade
    from stemma.upgrade.windows import has_tokenizer

    heal = None
    if args.heal_data or args.heal_steps:
        heal = HealSettings(
            data=args.heal_data,
            steps=args.heal_steps,
            learning_rate=args.heal_learning_rate,
            precision=args.heal_precision or native_precision(),
        )
    settings = UpgradeSettings(
        text=args.text, num_windows=args.windows, window_length=args.window_length, heal=heal
    )
    result = upgrade(args.source, args.to, args.out, settings)
    if args.json:
        print(json.dumps(plain(result.certificate), indent=2, ensure_ascii=False))
    print_certificate(result.certificate)
    say(f"written: {result.folder}, certificate: {result.folder / 'certificate.json'}")
    say(f"next: stemma {'generate' if has_tokenizer(result.folder) else 'verify'} {result.folder}")
    return 0
