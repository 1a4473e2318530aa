"""The table of steps: kind -> its module, imported when it is first looked up, as a phase needs but a few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from runbooks.compose.model import Stack
from runbooks.model import Change, Facts, Question


class StepKind(Protocol):
    """What a module in `runbooks/steps` offers."""

    SETTINGS: Mapping[str, tuple[type, Any, str]]
    asks: Callable[[Stack, Facts, Mapping[str, Any]], tuple[Question, ...]]
    change: Callable[[Stack, Facts, Mapping[str, Any]], Change]


KINDS = (
    "autoscaling",
    "circuit_breakers",
    "conditions",
    "discovery_variables",
    "health_aggregator",
    "health_checks",
    "pgbouncer",
    "pool_tuning",
    "redis_sentinel",
    "resource_profiles",
    "service_mesh",
    "service_registry",
    "shared_cache",
    "startup_order",
)
"""The kinds of steps. A new one is a file of that name in `runbooks/steps` and a line here."""


class _Steps(Mapping[str, StepKind]):
    def __getitem__(self, kind: str) -> StepKind:
        if kind not in KINDS:
            raise KeyError(kind)
        found: Any = import_module(f"runbooks.steps.{kind}")
        return found  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


STEPS: Mapping[str, StepKind] = _Steps()
"""kind -> its module."""


class _Declared(Iterable[str]):
    def __iter__(self) -> Iterator[str]:
        return iter(_declared())


@cache
def _declared() -> tuple[str, ...]:
    return tuple(sorted({name for kind in STEPS.values() for name in kind.SETTINGS}))


def declared() -> Iterable[str]:
    """Every variable that some step takes, for the inventory's "did you mean"; found out when somebody looks."""
    return _Declared()
