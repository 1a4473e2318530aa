"""The arithmetic of samples: percentiles, and bounds that claim no more than the samples allow. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

Z_95 = 1.6448536269514722
"""The 95 % quantile of the normal distribution, for one-sided bounds."""


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; None without values. `share` is from 0 to 1."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[max(0, ceil(share * len(ranked)) - 1)]


def wilson_lower(good: int, total: int, z: float = Z_95) -> float:
    """The one-sided lower bound of a share of successes (Wilson 1927); 0 without samples."""
    return _wilson(good, total, -z)


def wilson_upper(good: int, total: int, z: float = Z_95) -> float:
    """The one-sided upper bound of a share of successes (Wilson 1927); 1 without samples."""
    return _wilson(good, total, z) if total else 1.0


def _wilson(good: int, total: int, z: float) -> float:
    if not total:
        return 0.0
    share, square = good / total, z * z
    middle = share + square / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + square / (4 * total * total))
    return min(1.0, max(0.0, (middle + spread) / (1 + square / total)))
