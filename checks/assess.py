"""What a soak came to: coverage, success with its bounds, each probe, the five metrics, and one verdict. Pure.

Health decides: all samples together must be shown to be above the target, no probe may be shown to be under it. So do
start-up time and breaker trips, which have an upper limit. How far a pool or a limit is used advises only: a staging
environment that nobody uses cannot be at 60 to 80 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil

from checks import metrics
from checks.metrics import Metric
from checks.model import Outcome
from checks.probes import KINDS
from checks.soak import Incident, Series, Soak, Tally
from checks.statistics import still_needed, weighted_percentiles, wilson_lower, wilson_upper
from inventory.values import frozen

MIN_COVERAGE = 0.9
"""The share of the samples that should have been taken: with less, what was not looked at may have been the bad part."""
SHARES = (0.5, 0.95, 0.99)


@frozen
class ProbeRow:
    """One series: its tally, the samples that it should have, bounds of its success, and latencies in seconds.

    `lower` and `upper` are one-sided 95 % bounds; `under` says that it is shown to be under the target.
    """

    series: Series
    tally: Tally
    expected: int
    lower: float
    upper: float
    under: bool
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None

    @property
    def coverage(self) -> float:
        return min(1.0, self.tally.measured / self.expected) if self.expected else 1.0

    @property
    def success(self) -> float | None:
        return self.tally.ok / self.tally.measured if self.tally.measured else None


@frozen
class Assessment:
    """A soak's verdict at a time. `still_s`: seconds of good ticks until it could pass; 0 for one that passed.

    `coverage` is the share of health samples that were measured of those that should have been; `lower` and `upper` are
    one-sided 95 % bounds of all of them together; `needed` how many more good ones the claim needs.
    """

    soak: Soak
    at: datetime
    outcome: Outcome
    reason: str
    over: bool
    still_s: float
    expected: int
    made: int
    coverage: float
    good: int
    measured: int
    lower: float
    upper: float
    needed: int
    probes: tuple[ProbeRow, ...]
    metrics: tuple[Metric, ...]
    incidents: tuple[Incident, ...]

    @property
    def missed(self) -> int:
        return self.expected - self.made

    @property
    def success(self) -> float | None:
        return self.good / self.measured if self.measured else None


def judged(soak: Soak, series: Sequence[Series], tallies: Mapping[int, Tally], made: int, incidents: Sequence[Incident],
           at: datetime, *, started: Mapping[str, float] | None = None) -> Assessment:  # fmt: skip
    """Judges a soak by what was measured until a time: `made` ticks, and seconds to health of services `started` by its
    run. One that has ended keeps the verdict that it was given; one that was stopped before its end cannot pass.
    """
    expected = max(made, soak.expected(at))
    rows = tuple(_row(soak, each, tallies.get(each.id, Tally()), expected) for each in series)
    health = [row for row in rows if not KINDS[row.series.probe.kind].measures]
    good, measured = sum(row.tally.ok for row in health), sum(row.tally.measured for row in health)
    should = expected * len(health)
    found = metrics.five(soak, [(row.series, row.tally) for row in rows], good, measured, expected, started or {})
    needed = still_needed(good, measured, soak.target)
    over = (soak.ended_at or at) >= soak.end
    coverage = min(1.0, measured / should) if should else 1.0
    waits = (
        max(0.0, (soak.end - at).total_seconds()) if not over else 0.0,
        ceil(needed / max(1, len(health))) * soak.every_s,
        max([_catch_up_s(soak, measured, should, len(health)), *(_catch_up_s(soak, r.tally.measured, r.expected, 1) for r in health)]),
    )  # fmt: skip
    outcome, reason = _verdict(soak, health, found, good, measured, coverage, needed, over=over)
    if soak.outcome:
        outcome, reason = soak.outcome, soak.reason
    return Assessment(
        soak, at, outcome, reason, over, 0.0 if outcome == "pass" else max(waits), expected, made, coverage, good, measured,
        wilson_lower(good, measured), wilson_upper(good, measured), needed, rows, found, tuple(incidents),
    )  # fmt: skip


def _row(soak: Soak, series: Series, tally: Tally, expected: int) -> ProbeRow:
    lower, upper = wilson_lower(tally.ok, tally.measured), wilson_upper(tally.ok, tally.measured)
    measures = KINDS[series.probe.kind].measures
    latencies = weighted_percentiles(tally.latencies, SHARES)
    p50, p95, p99 = (None if micro is None else micro / 1e6 for micro in latencies)
    should = ceil(expected / soak.measured_each) if measures else expected
    return ProbeRow(series, tally, should, lower, upper, not measures and upper < soak.target, p50, p95, p99)


def _catch_up_s(soak: Soak, measured: int, expected: int, each_tick: int) -> float:
    """Seconds of whole ticks until the coverage is enough."""
    if not expected or measured >= MIN_COVERAGE * expected:
        return 0.0
    missing = (MIN_COVERAGE * expected - measured) / (1 - MIN_COVERAGE)
    return ceil(missing / each_tick - 1e-9) * soak.every_s


def _verdict(soak: Soak, health: Sequence[ProbeRow], found: Sequence[Metric], good: int, measured: int, coverage: float,
             needed: int, *, over: bool) -> tuple[Outcome, str]:  # fmt: skip
    target = percent(soak.target)
    under = sorted((row for row in health if row.under), key=lambda row: row.upper)
    if under:
        row = under[0]
        more = f", and {len(under) - 1} more under it" if len(under) > 1 else ""
        return "fail", (
            f"{row.series.probe.name} on {row.series.host}: {row.tally.failed} of {row.tally.measured} failed, so at best "
            f"{percent(row.upper)} are good and not {target}{more}"
        )
    if measured and wilson_upper(good, measured) < soak.target:
        return "fail", f"{measured - good} of {measured} samples failed, so at best {percent(wilson_upper(good, measured))} are good and not {target}"  # fmt: skip
    missed = [metric for metric in found if metric.decides and metric.verdict == "missed"]
    if missed:
        return "fail", f"{missed[0].title}: {missed[0].said}, the target is {missed[0].target}"
    if not measured:
        return "inconclusive", "nothing was measured"
    thin = min(health, key=lambda row: row.coverage)
    if coverage < MIN_COVERAGE:
        return "inconclusive", f"coverage is {percent(coverage)}, {percent(MIN_COVERAGE)} is needed"
    if thin.coverage < MIN_COVERAGE:
        return "inconclusive", f"coverage of {thin.series.probe.name} on {thin.series.host} is {percent(thin.coverage)}, {percent(MIN_COVERAGE)} is needed"  # fmt: skip
    if needed:
        return "inconclusive", f"{good} of {measured} samples are good: {needed} more good ones are needed to claim more than {target}"  # fmt: skip
    if not over:
        return "inconclusive", f"{good} of {measured} samples are good so far"
    return "pass", f"{good} of {measured} samples are good: more than {target} with 95 % confidence"


def percent(share: float) -> str:
    """A share as people read it: 99.9 %, never rounded up to a 100 % that it is not."""
    text = f"{share * 100:.3f}"
    if share < 1 and text == "100.000":
        text = "99.999"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"
