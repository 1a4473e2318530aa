"""Tells an environment's receivers that a soak has its verdict."""

from __future__ import annotations

from collections.abc import Callable

from checks.assess import Assessment, percent
from checks.evidence import Store
from checks.soak import Soak
from inventory import receivers
from inventory.errors import InputError
from inventory.secrets import Mask
from runbooks import events, soaking
from runbooks.notifier import telling


def tell(store: Store, soak: Soak, mask: Mask, warn: Callable[[str], None]) -> None:
    """Tells of a soak that was ended just now. What cannot be told is only warned of."""
    if not soak.outcome:
        return
    try:
        found = receivers.of(soaking.hosts_of(soak).values())
    except InputError as error:
        warn(f"nobody is told of {soak.id}: {error}")
        return
    if found:
        with telling(found, mask, warn) as news:
            news(event(soaking.assessed(store, soak)))


def end_all(store: Store, environment: str, why: str, mask: Mask, warn: Callable[[str], None]) -> None:
    """Ends the running soaks of an environment because other things run there now; says so, and tells of each."""
    for soak in soaking.stop_all(store, environment, why):
        warn(f"{soak.id} was ended: {soak.reason}")
        tell(store, soak, mask, warn)


def event(found: Assessment) -> events.SoakEnded:
    """The verdict, with the metrics and what stood out."""
    soak = found.soak
    series = {row.series.id: row.series for row in found.probes}
    details = [f"{metric.title}: {metric.verdict}, {metric.said}" for metric in found.metrics]
    details.append(f"coverage {percent(found.coverage)}, {len(found.incidents)} incident(s)")
    worst = max(found.incidents, key=lambda each: each.failures, default=None)
    if worst is not None:
        own = series[worst.series]
        details.append(f"the longest: {own.probe.name} on {own.host}, {worst.failures} sample(s): {worst.detail}")
    return events.SoakEnded(
        soak=soak.id, environment=soak.environment, outcome=found.outcome, reason=found.reason, run=soak.run, phase=soak.phase,
        details=tuple(details),
    )  # fmt: skip
