"""Write the HTML page of a run or a cleaning: numbers, plots, samples and the protocol of each, in one file that opens offline."""

import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Args:
    folder: tyro.conf.Positional[Path]
    """a chain, a run, an upgrade or a cleaning folder; report.html is written into it"""
    open: Literal["yes", "no"] = "yes"
    """show the page, when this is a terminal on a desktop"""


def run(args: Args) -> None:
    from stemma.progress import say
    from stemma.report import render_report

    path = render_report(args.folder)
    print(path)
    if args.open == "no" or not _on_desktop() or not webbrowser.open(path.resolve().as_uri()):
        say(f"next: open {path} in a browser; it is one file and needs no network")


def _on_desktop() -> bool:
    windows = (
        sys.platform in ("win32", "darwin") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    )
    return sys.stdout.isatty() and windows
