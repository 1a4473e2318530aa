"""How many replicas a service should have: the formula and the stabilisation window of Kubernetes' HorizontalPodAutoscaler. Pure.

Its documentation ("Horizontal Pod Autoscaling", algorithm details) has the formula, the tolerance of a tenth and the 300 s
window in which a lower number must have been enough all the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from inventory.values import frozen

TOLERANCE = 0.1
"""How far from the target the use may be, as a share of it, without any change."""
WINDOW_S = 300.0
"""Seconds in which a lower number must have been enough before it is taken."""
SLACK = 1e-9
"""What a division may be off by: 3 replicas at 70 of 70 % are 3, however the machine rounds."""


@frozen
class Limits:
    """Between how many replicas, and at which use (percent of the CPU limit, on average), a service is kept."""

    least: int = 2
    most: int = 10
    cpu: float = 70.0


@frozen
class Wish:
    """How many replicas a measurement asked for. `at` is in seconds, on any clock that only goes forward."""

    at: float
    replicas: int


def wanted(current: int, cpu: float, limits: Limits) -> int:
    """The number that one measurement asks for: `ceil(current * cpu / target)`, within the limits.

    `cpu`: percent of their limit that the replicas use on average.
    """
    share = cpu / limits.cpu
    count = current if abs(share - 1) <= TOLERANCE + SLACK else math.ceil(current * share - SLACK)
    return min(limits.most, max(limits.least, count))


def settled(current: int, now: Wish, before: Iterable[Wish], limits: Limits) -> int:
    """The number to have: more at once, fewer only as far as every measurement of the window allows."""
    recent = [wish.replicas for wish in before if 0 <= now.at - wish.at < WINDOW_S]
    count = now.replicas if now.replicas >= current else min(current, max([now.replicas, *recent]))
    return min(limits.most, max(limits.least, count))


def kept(wishes: Iterable[Wish], now: float) -> tuple[Wish, ...]:
    """The wishes that can still count. One from after now, of a clock that was set back, cannot."""
    return tuple(wish for wish in wishes if 0 <= now - wish.at < WINDOW_S)
