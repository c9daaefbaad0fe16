"""Numbers in, one self-contained HTML page out: no script, no request, the same bytes for the same inputs."""

from stemma.report.page import render_report

__all__ = ["render_report"]
