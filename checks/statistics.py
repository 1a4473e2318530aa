"""The arithmetic of samples: percentiles, and bounds that claim no more than the samples allow. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
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


def still_needed(good: int, total: int, target: float, z: float = Z_95) -> int:
    """How many more samples, all good, until the lower bound is above `target` (under 1): 2,703 for 99.9 % from none."""
    if wilson_lower(good, total, z) > target:
        return 0
    low, high = 0, 1
    while wilson_lower(good + high, total + high, z) <= target:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wilson_lower(good + middle, total + middle, z) <= target else (low, middle)
    return high


def weighted_percentiles(counts: Mapping[int, int], shares: Sequence[float]) -> tuple[int | None, ...]:
    """`percentile` at each of these shares, of values that are given with how often each was measured."""
    values = sorted(counts)
    upto = list(accumulate(counts[value] for value in values))
    if not upto:
        return (None,) * len(shares)
    return tuple(values[bisect_left(upto, max(1, ceil(share * upto[-1])))] for share in shares)


def _wilson(good: int, total: int, z: float) -> float:
    if not total:
        return 0.0
    share, square = good / total, z * z
    middle = share + square / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + square / (4 * total * total))
    return min(1.0, max(0.0, (middle + spread) / (1 + square / total)))
