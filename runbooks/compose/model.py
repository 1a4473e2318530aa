"""A Compose project as pure values: what a stack is. `project.load` makes one from the bytes of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from inventory.values import frozen

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


class Place(NamedTuple):
    """Where a value stands. `line` counts from 1."""

    path: str
    line: int


@frozen
class ProjectSpec:
    """What makes a project besides the bytes of its files. Paths are absolute, or relative to `directory`.

    `environment` is what the shell that runs Compose would add to the interpolation (normally nothing).
    """

    directory: str
    name: str
    compose_files: tuple[str, ...]
    env_files: tuple[str, ...] = (".env",)
    profiles: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@frozen
class Span:
    """A piece of a resolved text and the bytes that it came from.

    `start:end` are offsets in the resolved text. `path`, `from_byte:to_byte` are where those very characters stand; the
    bytes may be an expression of the same length or another (a quoted or escaped scalar), so `exact` says whether the
    file's bytes are the characters themselves. `reference` is where the `${...}` that brought them stands, if any: a
    service may put its own text there instead of changing a variable that others share.
    """

    start: int
    end: int
    path: str
    from_byte: int
    to_byte: int
    exact: bool
    reference: tuple[str, int, int] | None = None


@frozen
class Variable:
    """One environment variable of a service.

    `value` is resolved as Compose would (None: taken from the shell at `up`, or unset); `raw` is the scalar's own text.
    """

    name: str
    value: str | None
    raw: str
    place: Place
    source: Literal["environment", "env_file"]
    trace: Callable[[], tuple[Span, ...]] = field(default=tuple, repr=False, compare=False)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Covers `value` from its first to its last character, in order. Traced when asked for: few ever are."""
        return self.trace()


@frozen
class Edge:
    """`depends_on`: one service's need of another."""

    dependency: str
    condition: Condition
    required: bool
    restart: bool
    form: Literal["list", "map"]
    place: Place


@frozen
class HealthCheck:
    """A service's own `healthcheck`. Times in seconds; None: not set, so the engine's default holds."""

    test: tuple[str, ...]
    disabled: bool
    interval_s: float | None
    timeout_s: float | None
    start_period_s: float | None
    start_interval_s: float | None
    retries: int | None
    place: Place


@frozen
class Service:
    """One service after merging, `extends` and interpolation.

    `value` is the whole resolved mapping as Compose would see it (short forms kept); the other fields are the parts
    that steps ask for. `active`: the chosen profiles include it. `ports` are container ports, from `ports` and
    `expose`.
    """

    name: str
    place: Place
    value: Mapping[str, Any]
    image: str | None
    builds: bool
    container_name: str | None
    edges: Mapping[str, Edge]
    health_check: HealthCheck | None
    environment: Mapping[str, Variable]
    ports: tuple[int, ...]
    profiles: tuple[str, ...]
    restart: str | None
    command: tuple[str, ...] | None
    active: bool


@frozen
class Stack:
    """A Compose project: its spec, the bytes of every file that it was read from, and its services in file order.

    `warnings` are what Compose would only warn about: (variable, place) that is unset and becomes a blank.
    """

    spec: ProjectSpec
    files: Mapping[str, bytes]
    services: Mapping[str, Service]
    value: Mapping[str, Any]
    warnings: tuple[tuple[str, Place], ...] = ()
    tree: object = field(default=None, repr=False, compare=False)
    """What `project.load` read this from, kept for `splice.apply`; nobody else's business."""
    known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `remembered` functions have found about this very stack."""

    @cached_property
    def jobs(self) -> frozenset[str]:
        """Services whose end another one waits for."""
        return frozenset(
            name
            for service in self.services.values()
            for name, edge in service.edges.items()
            if edge.condition == "service_completed_successfully"
        )
