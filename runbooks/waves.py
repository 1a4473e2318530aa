"""Brings services up one at a time, in dependency order, so that each is away only for its own stop and start.

A plain `up -d` stops every changed container before it starts any, and leaves the rest created when one does not get
healthy (docs/measurements.md has both, measured). Here the first that fails ends the waves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from inventory.engine import Compose
from inventory.link import Reply

SLACK_S = 60.0
"""Seconds that a command may take besides the wait for health: stopping (10 s by default) and creating."""


class Executor(Protocol):
    """Runs a command on a host so that it goes on when the link is lost, journalled: `rollback.commit.HostWriter`."""

    def execute(self, argv: Sequence[str], timeout_s: float) -> Reply: ...


@dataclass(frozen=True)
class Wave:
    """One service to bring up: how long it may take to get healthy, and the scale that it keeps (None: one)."""

    service: str
    wait_s: float
    scale: int | None = None


@dataclass(frozen=True)
class Brought:
    """How bringing up one service ended. `output` is Compose's own words when it failed."""

    service: str
    ok: bool
    seconds: float
    output: str = ""


def bring_up(
    writer: Executor,
    compose: Compose,
    waves: Sequence[Wave],
    *,
    report: Callable[[Brought], None],
    stopped: Callable[[], bool],
) -> bool:
    """Brings `waves` up in their order and reports each. False when one failed; stops early, with True, when asked."""
    for wave in waves:
        if stopped():
            return True
        reply = writer.execute(command(compose, wave), timeout_s=wave.wait_s + SLACK_S)
        words = (reply.err or reply.out).decode("utf-8", "replace").strip()
        report(Brought(wave.service, reply.exit == 0, reply.seconds, "" if reply.exit == 0 else words))
        if reply.exit != 0:
            return False
    return True


def command(compose: Compose, wave: Wave) -> tuple[str, ...]:
    """The Compose command of one wave: this service alone, from images that are there, until it is healthy."""
    scale = () if wave.scale is None else ("--scale", f"{wave.service}={wave.scale}")
    wait = ("--wait", "--wait-timeout", str(ceil(wave.wait_s)))
    return compose.argv("up", "-d", "--no-deps", "--no-build", "--pull", "never", *scale, *wait, "--", wave.service)
