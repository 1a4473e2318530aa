"""What an inventory says of when a host may be changed: maintenance windows and freezes, and whoever overrides them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from inventory import windows
from inventory.errors import Refused
from inventory.model import Host
from runbooks.plan_model import HostPlan, Plan

MEND = 'wait, or add --override "the reason"'


def now() -> datetime:
    return datetime.now(UTC)


def closed(host: Host, at: datetime) -> Refused | None:
    """Why a host may not be changed at a moment, with when it next may; None when it may."""
    calendar = windows.of(host.variables)
    why = calendar.closed(at)
    if not why:
        return None
    opens = calendar.opens(at)
    when = f"the next time is {windows.shown(opens, windows.zone_of(calendar))}" if opens else "no time is to come"
    return Refused(f"{why}: {when}", host=host.name, mend=MEND)


def none_left(refused: Sequence[Refused]) -> Refused:
    """The one line for hosts that may all not be changed: those that say the same stand together."""
    groups: dict[str, list[str]] = {}
    for error in refused:
        groups.setdefault(error.message, []).append(error.host)
    return Refused("; ".join(f"{', '.join(hosts)}: {said}" for said, hosts in groups.items()), mend=MEND)


def too_long(host: Host, plan: HostPlan, wait_s: float, at: datetime) -> str:
    """A word of warning where a host's window closes before a plan is expected to end on it; else nothing.

    `wait_s`: how long the batches before it are expected to take.
    """
    calendar = windows.of(host.variables)
    closes = calendar.closes(at)
    need = wait_s + expected_s(plan)
    if closes is None or at + timedelta(seconds=need) <= closes:
        return ""
    return (
        f"its window closes at {windows.shown(closes, windows.zone_of(calendar))}, and about "
        f"{need / 60:.0f} min are needed: batches that have not begun by then are not begun"
    )


def expected_s(plan: HostPlan) -> float:
    """Seconds that a host's plan is expected to take: its restarts, one after another, and its gates."""
    stages = [stage for stage in plan.stages if stage.files]
    return sum(stage.gate.initial_delay_s + stage.gate.window_s for stage in stages) + sum(
        restart.downtime_s for stage in stages for restart in stage.restarts
    )


def waits(plan: Plan, batches: Sequence[Sequence[str]]) -> dict[str, float]:
    """Seconds that each host is expected to wait for the batches before its own."""
    found: dict[str, float] = {}
    begun = 0.0
    for batch in batches:
        found |= dict.fromkeys(batch, begun)
        begun += max((expected_s(plan.host(name)) for name in batch), default=0.0)
    return found
