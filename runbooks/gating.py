"""Watches hosts through a gate and tells every round, the verdict, and what the failing services themselves say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from checks import gate as gates
from checks.model import Gate, Probe, Sample, Verdict
from runbooks import events
from runbooks.hostrun import HostRun
from runbooks.symptoms import symptoms

Side = Literal["change", "undo"]


def watch(
    hosts: Sequence[HostRun],
    probes: Mapping[str, Sequence[Probe]],
    gate: Gate,
    emit: events.Sink,
    *,
    steps: tuple[str, ...],
    side: Side,
    wait: Callable[[float], bool] | None = None,
) -> Verdict:
    """Measures each host's probes (by its name) over the gate's window. `wait` is `checks.gate.watch`'s."""
    told = tuple(host.name for host in hosts)
    count = sum(len(own) for own in probes.values())
    emit(events.GateStarted(steps=steps, hosts=told, gate=gate, probes=count, after=side))
    begin = time.monotonic()

    def on_round(number: int, samples: list[Sample]) -> None:
        emit(events.GateRound(
            steps=steps, number=number, elapsed_s=time.monotonic() - begin, window_s=gate.window_s,
            ok=sum(s.ok is True for s in samples), failed=sum(s.ok is False for s in samples),
            unknown=sum(s.ok is None for s in samples),
            failing=tuple(events.Failing(s.host, s.probe, s.detail, s.ok is None) for s in samples if not s.ok),
        ))  # fmt: skip

    def asking(host: HostRun) -> Callable[[], list[Sample]]:
        return lambda: host.round(probes[host.name])

    verdict = gates.watch(gate, {host.name: asking(host) for host in hosts}, probes, wait=wait, on_round=on_round)
    links = {host.name: (host.link, host.plan.compose.name) for host in hosts}
    said = symptoms(links, verdict) if verdict.outcome == "fail" else ()
    emit(events.GateEnded(steps=steps, hosts=told, verdict=verdict, symptoms=said, after=side))
    return verdict
