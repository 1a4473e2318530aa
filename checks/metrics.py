"""The proposal's five metrics, each from what a soak measured, with its target and its verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from checks.soak import Series, Soak, Tally
from checks.statistics import wilson_lower, wilson_upper
from inventory.values import frozen

Met = Literal["met", "missed", "unknown"]
STARTUP_S = 300.0
POOL = RESOURCES = (60.0, 80.0)
TRIPS_A_DAY = 1.0
DAY_S = 86_400.0
Measured = Sequence[tuple[Series, Tally]]


@frozen
class Metric:
    """One of the five. `value` is in `unit`, from `lowest` to `highest`; None: not measured. `said` is it in words.

    `decides`: missing it fails a soak. `low` and `high` are the target's bounds.
    """

    name: Literal["startup", "health", "pool", "breakers", "resources"]
    title: str
    unit: str
    value: float | None
    lowest: float | None
    highest: float | None
    target: str
    low: float | None
    high: float | None
    verdict: Met
    said: str
    decides: bool


def five(soak: Soak, rows: Measured, good: int, measured: int, expected: int, started: Mapping[str, float]
         ) -> tuple[Metric, ...]:  # fmt: skip
    """The five in the proposal's order. `good` of `measured` are all health samples, `expected` the ticks so far.

    `started`: seconds to health of services that the soak's run brought up.
    """
    return (
        startup(_of(rows, "startup"), started), health(soak, good, measured), pool(_of(rows, "pgbouncer")),
        breakers(_of(rows, "breaker"), expected * soak.every_s), resources(_of(rows, "resources")),
    )  # fmt: skip


def startup(rows: Measured, started: Mapping[str, float]) -> Metric:
    """The longest start of a service that was seen, by the soak or by the run before it, in seconds to its health."""
    seen = [value for value in (*_range(rows)[:2], *started.values()) if value is not None]
    lowest, highest = min(seen, default=None), max(seen, default=None)
    slow = sorted({series.probe.service for series, tally in rows if tally.failed})
    verdict: Met = (
        "unknown" if highest is None and not slow else "missed" if slow or (highest or 0) >= STARTUP_S else "met"
    )
    said = f"the longest took {highest:.1f} s" if highest is not None else "no start was seen"
    if slow:
        said = f"{', '.join(slow)} did not get healthy in time"
    return Metric("startup", "start-up time", "s", highest, lowest, highest, "under 5 min", None, STARTUP_S, verdict, said, True)  # fmt: skip


def health(soak: Soak, good: int, measured: int) -> Metric:
    """The share of good samples in percent, and whether 95 % confidence is enough to say that it is above the target."""
    share = 100 * good / measured if measured else None
    lower, upper = wilson_lower(good, measured), wilson_upper(good, measured)
    verdict: Met = "met" if lower > soak.target else "missed" if upper < soak.target else "unknown"
    said = f"{good} of {measured}, {100 * lower:.3f} % at least" if measured else "nothing was measured"
    return Metric("health", "health success", "%", share, 100 * lower, 100 * upper, f"over {100 * soak.target:g} %", 100 * soak.target, None, verdict, said, True)  # fmt: skip


def pool(rows: Measured) -> Metric:
    """How much of the pooler's server connections is used, in percent: the mean over all ticks."""
    return _band("pool", "pool utilisation", rows, POOL, "no pooler tells it")


def resources(rows: Measured) -> Metric:
    """How much of their limits the services use, CPU and memory, in percent: the mean over services and ticks."""
    return _band("resources", "resource utilisation", rows, RESOURCES, "no service tells it")


def breakers(rows: Measured, seconds: float) -> Metric:
    """How often a circuit breaker opened, a day."""
    told = [(series, tally) for series, tally in rows if tally.valued]
    if not told:
        return Metric("breakers", "breaker trips", "a day", None, None, None, "under 1 a day", None, TRIPS_A_DAY, "unknown", "no breaker yet", True)  # fmt: skip
    trips = [tally.rises for _, tally in told]
    days = max(seconds, 1.0) / DAY_S
    daily = sum(trips) / days
    verdict: Met = "met" if daily < TRIPS_A_DAY else "missed"
    said = f"{sum(trips):g} in {days:.3g} day(s)"
    return Metric("breakers", "breaker trips", "a day", daily, min(trips) / days, max(trips) / days, "under 1 a day", None, TRIPS_A_DAY, verdict, said, True)  # fmt: skip


def _band(
    name: Literal["pool", "resources"], title: str, rows: Measured, band: tuple[float, float], silent: str
) -> Metric:
    lowest, highest, mean = _range(rows)
    low, high = band
    target = f"{low:g}-{high:g} %"
    if mean is None:
        return Metric(name, title, "%", None, None, None, target, low, high, "unknown", silent, False)
    where = "below it: there is more than is used" if mean < low else "above it: there is little room" if mean > high else "within it"  # fmt: skip
    said = f"{mean:.0f} % (from {lowest:.0f} to {highest:.0f}), {where}"
    return Metric(name, title, "%", mean, lowest, highest, target, low, high, "met" if low <= mean <= high else "missed", said, False)  # fmt: skip


def _range(rows: Measured) -> tuple[float | None, float | None, float | None]:
    """The lowest and highest value, and the mean over all."""
    told = [tally for _, tally in rows if tally.valued]
    if not told:
        return None, None, None
    lows = [tally.lowest for tally in told if tally.lowest is not None]
    highs = [tally.highest for tally in told if tally.highest is not None]
    return min(lows), max(highs), sum(tally.total for tally in told) / sum(tally.valued for tally in told)


def _of(rows: Measured, kind: str) -> Measured:
    return [(series, tally) for series, tally in rows if series.probe.kind == kind]
