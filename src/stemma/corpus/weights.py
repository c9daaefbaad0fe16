"""Sampling weights of kept documents, from how often they were met and how good they are, and a fair draw.

Baichuan 2 (Yang et al. 2023, arXiv 2309.10305, section 2.1) samples by frequency and quality; FineWeb-2
(Penedo et al. 2025, arXiv 2506.20920) repeats a document by the size of its group of copies. Here

    min(max_copies, frequency(size) * 2 ** ((quality - reference) / doubling)),

where `size` is the number of documents the kept one stands for. A weight is the mean number of copies in an
epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemma.errors import StemmaError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FrequencyStep:
    """Groups of `size` documents and more, up to the next step, count `factor` times."""

    size: int
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSettings:
    """How weights are made. Sources and languages have their shares by `data.mixture`."""

    frequency: tuple[FrequencyStep, ...] = (
        FrequencyStep(1, 1.0),
        FrequencyStep(2, 1.25),
        FrequencyStep(4, 1.5),
        FrequencyStep(16, 2.0),
        FrequencyStep(64, 1.0),
        FrequencyStep(1024, 0.5),
    )
    """By rising size, from 1 on. The default rises slowly and falls where pages are copied by machines."""
    quality_reference: float = 0.5
    """The quality that neither raises nor lowers a weight; documents without one have this."""
    quality_doubling: float = 0.25
    """So much more quality doubles the weight; a small number is a strict taste. 0 leaves quality out."""
    max_copies: float = 4.0
    """No document is repeated more often in an epoch (Muennighoff et al. 2023, arXiv 2305.16264: up to about
    4 repetitions are worth as much as new text)."""

    def __post_init__(self) -> None:
        sizes = [step.size for step in self.frequency]
        if not sizes or sizes[0] != 1 or sizes != sorted(set(sizes)):
            raise StemmaError(f"the sizes of 'frequency' are {sizes}; give rising ones that begin with 1")
        if any(not 0 <= step.factor < np.inf for step in self.frequency):
            raise StemmaError("frequency factors must be 0 or more and finite")
        if not 0 <= self.quality_doubling < np.inf or not np.isfinite(self.quality_reference):
            raise StemmaError("quality_doubling must be 0 or more, and quality_reference a number")
        if not 0 < self.max_copies < np.inf:
            raise StemmaError(f"max_copies is {self.max_copies}, give a positive number")


def weigh(
    cluster_sizes: npt.NDArray[np.int64],
    quality: npt.NDArray[np.floating] | None,
    settings: WeightSettings = WeightSettings(),
) -> Floats:
    """(n,) weights of n kept documents; `quality` (n,) is a probability, nan where unknown, None where never
    scored.

    Each weight depends on its own document only, so batches and shards can be weighed apart. Raises
    StemmaError for a group smaller than 1.
    """
    if len(cluster_sizes) and cluster_sizes.min() < 1:
        raise StemmaError(
            f"a group of copies has {cluster_sizes.min()} documents; a kept document stands for 1 or more"
        )
    steps = np.array([step.size for step in settings.frequency])
    factors = np.array([step.factor for step in settings.frequency])
    weights = factors[np.searchsorted(steps, cluster_sizes, "right") - 1]
    if quality is not None and settings.quality_doubling > 0:
        gain = np.where(np.isnan(quality), 0.0, quality - settings.quality_reference)
        # 60 doublings either way are beyond any cap, and stay finite.
        weights = weights * np.exp2(np.clip(gain / settings.quality_doubling, -60, 60))
    return np.minimum(weights, settings.max_copies)


def rescale(weights: Floats, sizes: npt.NDArray[np.int64], target: float, max_copies: float) -> Floats:
    """min(max_copies, c * weights), with c such that an epoch is `target` long in the unit of `sizes`, such
    as tokens.

    Raises StemmaError when even max_copies of everything with a weight is shorter, saying how long that is.
    """
    most = float(max_copies * sizes[weights > 0].sum())
    if not 0 < target <= most:
        raise StemmaError(
            f"the epoch cannot be {target:,.0f} long; these documents give at most {most:,.0f} "
            f"with {max_copies:g} copies of each: lower the target or raise max_copies"
        )
    # Documents reach the cap in the order of their weights; between two such events the length is
    # linear in c.
    order = np.argsort(-weights, kind="stable")
    order = order[weights[order] > 0]
    sorted_weights, sorted_sizes = weights[order], sizes[order].astype(np.float64)
    capped = np.concatenate([[0.0], np.cumsum(sorted_sizes)[:-1]]) * max_copies
    rest = np.cumsum((sorted_weights * sorted_sizes)[::-1])[::-1]
    length_at_cap = capped + rest * (max_copies / sorted_weights)
    first = min(int(np.searchsorted(length_at_cap, target)), len(order) - 1)
    factor = (target - capped[first]) / rest[first]
    return np.minimum(factor * weights, max_copies)


def draw(ids: Sequence[str], weights: Floats, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """(n,) copies of each document in an epoch, counted from 0: its weight rounded down or up, on average its
    weight.

    copies = floor(w * (epoch + 1) + u) - floor(w * epoch + u), u being a hash of id and seed in [0, 1): a
    Bernoulli draw of the fraction in each epoch, spread evenly over epochs, so that after k of them a
    document was seen k * w times to within one. It depends on the id alone, not on order or shard. Raises
    StemmaError for a negative or infinite weight.
    """
    import xxhash

    if len(ids) != len(weights):
        raise StemmaError(f"{len(ids)} ids and {len(weights)} weights; give one weight for each id")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise StemmaError("a weight is negative or not a finite number; weights are mean numbers of copies")
    if epoch < 0 or not 0 <= seed < 1 << 64:
        raise StemmaError(f"epoch {epoch} and seed {seed} must not be negative, and the seed less than 2**64")
    hashes = np.fromiter((xxhash.xxh3_64_intdigest(i.encode(), seed) for i in ids), np.uint64, len(ids))
    start = (hashes >> np.uint64(11)) * 2.0**-53
    # Whole copies apart, so that rounding cannot touch them.
    whole = np.floor(weights)
    part = weights - whole
    extra = np.floor(part * (epoch + 1) + start) - np.floor(part * epoch + start)
    return (whole + extra).astype(np.int64)
