"""Before the first write: what on a host would spoil a run half way, from what it answered already. A table of checks, pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runbooks.plan_model import HostPlan

SKEW_S = 120.0
"""Seconds that host and controller may differ: as long as a lock may give no sign before it is called stale."""
RESERVE_KIB = 16 * 1024
"""What must be left for journal, commands' output and the services themselves."""


@dataclass(frozen=True)
class Ground:
    """What a host answered: by how many seconds its clock is ahead, and how many KiB are free where its state is kept."""

    skew_s: float
    free_kib: int


def clock(_plan: HostPlan, ground: Ground) -> str:
    """Whether the clocks agree: locks, snapshots and soaks are told apart by them."""
    if abs(ground.skew_s) <= SKEW_S:
        return ""
    return f"its clock is {abs(ground.skew_s):.0f} s {'ahead' if ground.skew_s > 0 else 'behind'}: set it (timedatectl set-ntp true), then repeat"


def disk(plan: HostPlan, ground: Ground) -> str:
    """Whether there is room for every file three times: kept as it was, kept as it will be, and beside its target."""
    need = (
        RESERVE_KIB
        + sum(len(file.data or b"") * 2 + len(file.data_before or b"") for stage in plan.stages for file in stage.files)
        // 1024
    )
    return (
        ""
        if ground.free_kib >= need
        else f"only {ground.free_kib} KiB are free for its snapshots, {need} are needed: make room, then repeat"
    )


CHECKS: tuple[Callable[[HostPlan, Ground], str], ...] = (clock, disk)


def refusals(plan: HostPlan, ground: Ground) -> Iterator[str]:
    """Why a plan must not be carried out on a host as things are, a line each with its mend; nothing where it changes nothing."""
    if plan.changed:
        yield from filter(None, (check(plan, ground) for check in CHECKS))
