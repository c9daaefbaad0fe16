"""What every border costs: how the measures are spread over the documents, before and after, and how many break each limit.

A histogram has 40 bins a decade from 0.0001 to 10 million, and one below for what is smaller; only bins that hold a
document are kept, so histograms of parts are small and add up.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from stemma.corpus.decide import Limit

PER_DECADE, _LOWEST, _HIGHEST = 40, -4, 7
EDGES = 10 ** (np.arange(_LOWEST * PER_DECADE, _HIGHEST * PER_DECADE + 1) / PER_DECADE)
"""Bin i holds the values from EDGES[i - 1] up to EDGES[i]; bin 0 what is below the first."""
Histogram = Mapping[str, Sequence[int]]  # bin: (documents before, documents after)


def count_broken(
    values: npt.NDArray[np.float32], groups: npt.NDArray[np.uint8], limits: "Sequence[Limit]"
) -> dict[str, int]:
    """Documents of its group that each limit is broken by, whatever other limits they break."""
    from stemma.corpus.measures import GROUPS

    return {
        limit.name: int((limit.is_broken(values) & (groups == GROUPS.index(limit.group))).sum())
        for limit in limits
    }


def histograms(
    values: npt.NDArray[np.float32],
    groups: npt.NDArray[np.uint8],
    kept: npt.NDArray[np.bool_],
    limits: "Sequence[Limit]",
) -> dict[str, dict[str, list[int]]]:
    """{"group.measure": {bin: [before, after]}} of the measures that the limits look at."""
    from stemma.corpus.columns import MEASURES
    from stemma.corpus.measures import GROUPS

    result: dict[str, dict[str, list[int]]] = {}
    for measure in dict.fromkeys(limit.measure for limit in limits):
        column = values[:, MEASURES.index(measure)]
        bins = np.searchsorted(EDGES, column, side="right")
        for number, group in enumerate(GROUPS):
            own = (groups == number) & ~np.isnan(column)
            before = np.bincount(bins[own], minlength=len(EDGES) + 1)
            after = np.bincount(bins[own & kept], minlength=len(EDGES) + 1)
            filled = np.flatnonzero(before).tolist()
            if filled:
                result[f"{group}.{measure}"] = {str(i): [int(before[i]), int(after[i])] for i in filled}
    return result


def broken_at(histogram: Histogram, border: float, side: str) -> float:
    """Documents before cleaning beyond a border, to the accuracy of the bins: a bin that the border cuts counts in part."""
    total = 0.0
    for place, (before, _) in histogram.items():
        i = int(place)
        low = EDGES[i - 1] if i else 0.0
        high = EDGES[i] if i < len(EDGES) else np.inf
        if side == "least":
            share = np.clip((border - low) / (high - low), 0, 1)
        else:
            share = (
                np.clip((high - border) / (high - low), 0, 1) if np.isfinite(high) else float(border < low)
            )
        total += before * float(share)
    return total
