"""What is installed, which device, how many cores, which extras are missing and how to get them."""

from dataclasses import dataclass
from typing import Any

_PACKAGE = "stemma-llm"


@dataclass(frozen=True, kw_only=True)
class Args:
    json: bool = False
    """Print the result as JSON."""


def run(args: Args) -> int:
    import json

    from stemma.progress import say

    found = examine()
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for key in ("stemma", "python", "platform", "cores", "memory", "device", "where"):
        print(f"{key:<12} {found[key]}")
    print("\nrequired")
    _print_packages(found["required"])
    for extra, packages in found["extras"].items():
        print(f"\n[{extra}]")
        _print_packages(packages)
        if None in packages.values():
            print(f"  to add: pip install '{_PACKAGE}[{extra}]'")
    say("next: stemma quickstart")
    return 0


def examine() -> dict[str, Any]:
    """Everything `doctor` prints, as plain data. Imports torch only to name the device, and only where it is present."""
    import os
    import platform
    from pathlib import Path

    import stemma

    required, extras = _dependencies()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "stemma": stemma.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": cores,
        "memory": _memory(),
        "device": _device() if required.get("torch") else "torch is not installed",
        "where": str(Path(stemma.__file__).parent),
        "required": required,
        "extras": extras,
    }


def _dependencies() -> tuple[dict[str, str | None], dict[str, dict[str, str | None]]]:
    """Installed version, None where missing, of every package the metadata asks for: required, and by extra."""
    import re
    from importlib import metadata

    required: dict[str, str | None] = {}
    extras: dict[str, dict[str, str | None]] = {}
    for line in metadata.requires(_PACKAGE) or []:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)""", line)
        if name == _PACKAGE:
            continue
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = None
        (extras.setdefault(extra.group(1), {}) if extra else required)[name] = version
    return required, {extra: packages for extra, packages in extras.items() if extra != "all"}


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return ", ".join(names)
    if torch.backends.mps.is_available():
        return "Apple GPU (mps)"
    return f"cpu, {torch.get_num_threads()} threads"


def _memory() -> str:
    import os

    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (ValueError, OSError, AttributeError):
        return "unknown"


def _print_packages(packages: dict[str, str | None]) -> None:
    for name, version in packages.items():
        print(f"  {name:<18} {version or 'missing'}")
