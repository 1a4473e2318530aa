"""The gate: probes repeated over a window, and one of three outcomes. What could not be measured is not a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from checks.model import Gate, Outcome, Probe, ProbeResult, Sample, Verdict
from checks.statistics import percentile
from inventory.durations import duration
from inventory.errors import InputError

Round = Callable[[], list[Sample]]
_DURATIONS = {"window": "window_s", "interval": "interval_s", "initial_delay": "initial_delay_s"}


@dataclass
class Tally:
    """What one probe on one host came to so far."""

    ok: int = 0
    failed: int = 0
    unknown: int = 0
    latencies: list[float] = field(default_factory=list)
    run_of_good: int = 0
    last_failure: str = ""

    def add(self, sample: Sample) -> None:
        if sample.ok is None:
            self.unknown += 1
            return
        if sample.latency_s is not None:
            self.latencies.append(sample.latency_s)
        if sample.ok:
            self.ok, self.run_of_good = self.ok + 1, self.run_of_good + 1
        else:
            self.failed, self.run_of_good, self.last_failure = self.failed + 1, 0, sample.detail


def watch(gate: Gate, rounds: Mapping[str, Round], probes: Mapping[str, Sequence[Probe]], *,
          clock: Callable[[], float] = time.monotonic, wait: Callable[[float], bool] | None = None,
          on_round: Callable[[int, list[Sample]], None] = lambda _n, _s: None) -> Verdict:  # fmt: skip
    """Measures until the window is over or the outcome is certain. `rounds` maps a host to one round of its probes.

    `wait(seconds)` waits, and is True when the operator wants to stop. A round that takes longer than the interval is
    followed by the next at once, never by a burst.
    """
    wait = wait or _sleep
    tallies = {(host, probe.name): Tally() for host, own in probes.items() for probe in own}
    begin = clock()
    if gate.initial_delay_s and wait(gate.initial_delay_s):
        return verdict("inconclusive", "stopped by the operator", 0, clock() - begin, tallies, probes)
    start, number = clock(), 0
    with ThreadPoolExecutor(max_workers=max(1, min(20, len(rounds)))) as pool:
        while True:
            due = start + number * gate.interval_s
            if clock() < due and wait(due - clock()):
                return verdict("inconclusive", "stopped by the operator", number, clock() - begin, tallies, probes)
            samples = [sample for found in pool.map(lambda ask: ask(), rounds.values()) for sample in found]
            number = max(number + 1, int((clock() - start) / gate.interval_s))
            for sample in samples:
                if (sample.host, sample.probe) in tallies:
                    tallies[sample.host, sample.probe].add(sample)
            on_round(number, samples)
            limit = gate.failure_limit
            bad = [key for key, tally in tallies.items() if limit is not None and tally.failed >= limit > 0]
            if bad:
                host, name = bad[0]
                reason = f"{name} on {host} failed: {tallies[bad[0]].last_failure or 'no reason given'}"
                return verdict("fail", reason, number, clock() - begin, tallies, probes)
            if clock() - start >= gate.window_s:
                return verdict(*decide(gate, tallies), number, clock() - begin, tallies, probes)


def decide(gate: Gate, tallies: Mapping[tuple[str, str], Tally]) -> tuple[Outcome, str]:
    """The outcome of a whole window, with its reason in one line."""
    measured = sum(tally.ok + tally.failed for tally in tallies.values())
    good = sum(tally.ok for tally in tallies.values())
    for (host, name), tally in tallies.items():
        own = tally.ok + tally.failed
        if own and tally.ok / own < gate.min_success:
            return (
                "fail",
                f"{name} on {host}: {tally.failed} of {own} failed ({tally.last_failure or 'no reason given'})",
            )
    if not measured:
        return "inconclusive", "nothing could be measured"
    for (host, name), tally in tallies.items():
        own = tally.ok + tally.failed
        if own < gate.min_samples:
            return (
                "inconclusive",
                f"{name} on {host}: {own} samples, {gate.min_samples} are needed ({tally.unknown} unknown)",
            )
        if tally.run_of_good < gate.consecutive:
            return "fail", f"{name} on {host}: the last {gate.consecutive} rounds were not all good"
    return "pass", f"{good} of {measured} samples good"


def verdict(outcome: Outcome, reason: str, rounds: int, seconds: float, tallies: Mapping[tuple[str, str], Tally],
            probes: Mapping[str, Sequence[Probe]]) -> Verdict:  # fmt: skip
    results = tuple(
        ProbeResult(
            probe, host, tally.ok, tally.failed, tally.unknown, percentile(tally.latencies, 0.5), percentile(tally.latencies, 0.99),
            tally.last_failure,
        )
        for host, own in probes.items()
        for probe in own
        for tally in (tallies[host, probe.name],)
    )  # fmt: skip
    return Verdict(outcome, reason, rounds, seconds, results)


def parse(given: Mapping[str, Any], path: str = "", line: int | None = None, base: Gate | None = None) -> Gate:
    """A gate from its settings; durations such as `30s`, `2m`. Raises InputError, with "did you mean"."""
    base = base or Gate()
    names = {field.name for field in fields(Gate)} - set(_DURATIONS.values()) | set(_DURATIONS)
    values = {field.name: getattr(base, field.name) for field in fields(Gate)}
    for name, value in given.items():
        key = f"gate.{name}"
        if name not in names:
            near = get_close_matches(str(name), names, n=1)
            raise InputError(
                "is no setting of a gate",
                path=path,
                line=line,
                key=key,
                mend=f"did you mean {near[0]}?" if near else f"settings: {', '.join(sorted(names))}",
            )
        values[_DURATIONS.get(name, name)] = duration(value, path, line, key) if name in _DURATIONS else value
    gate = Gate(**values)
    validate(gate, path, line)
    return gate


def validate(gate: Gate, path: str = "", line: int | None = None) -> None:
    """Raises InputError for a gate that could not decide anything."""

    def number(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool)

    def count(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    rules = (
        (gate.window_s > 0, "window", "must be longer than nothing", "write 30s or more"),
        (gate.interval_s > 0, "interval", "must be longer than nothing", "write 2s"),
        (gate.interval_s <= gate.window_s, "interval", "is longer than the window", "make the window longer"),
        (
            number(gate.min_success) and 0 < gate.min_success <= 1,
            "min_success",
            "is a share over 0, at most 1",
            "write 0.999",
        ),
        (
            gate.failure_limit is None or (count(gate.failure_limit) and gate.failure_limit >= 0),
            "failure_limit",
            "is a count",
            "write 1, or 0 for never",
        ),
        (count(gate.min_samples) and gate.min_samples >= 1, "min_samples", "is a count from 1", "write 3"),
        (count(gate.consecutive) and gate.consecutive >= 0, "consecutive", "is a count", "write 1"),
        (gate.on_failure in ("rollback", "pause"), "on_failure", "is rollback or pause", "write rollback"),
        (gate.rollback_scope in ("step", "run"), "rollback_scope", "is step or run", "write step"),
    )
    for holds, name, problem, mend in rules:
        if not holds:
            raise InputError(problem, path=path, line=line, key=f"gate.{name}", mend=mend)
    most = int(gate.window_s / gate.interval_s) + 1
    for name, value in (("min_samples", gate.min_samples), ("consecutive", gate.consecutive)):
        if value > most:
            raise InputError(
                f"{most} rounds fit in the window",
                path=path,
                line=line,
                key=f"gate.{name}",
                mend="make the window longer",
            )


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False
