"""A Compose project as pure values: what a stack is, and the operations that can be asked of it.

`project.load` makes a Stack from bytes, `splice.apply` carries operations out as splices of those bytes. Nothing here
does input or output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


class Place(NamedTuple):
    """Where a value stands. `line` counts from 1."""

    path: str
    line: int


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Edge:
    """`depends_on`: one service's need of another."""

    dependency: str
    condition: Condition
    required: bool
    restart: bool
    form: Literal["list", "map"]
    place: Place


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


class Edit(NamedTuple):
    """A splice: bytes `start:end` of `path` become `text`. Offsets are of the file before any edit of its change."""

    path: str
    start: int
    end: int
    text: bytes
    reason: str


# Operations: what a step asks of a stack, as values that can be listed, compared and printed.


@dataclass(frozen=True)
class SetCondition:
    """Gives an edge a condition; a list becomes a map with every other edge as it was."""

    service: str
    dependency: str
    condition: Condition
    required: bool | None = None
    reason: str = ""


@dataclass(frozen=True)
class AddDependency:
    """Adds an edge in the form that is there (a list becomes a map when the condition needs one)."""

    service: str
    dependency: str
    condition: Condition
    reason: str = ""


@dataclass(frozen=True)
class RemoveDependency:
    service: str
    dependency: str
    reason: str = ""


@dataclass(frozen=True)
class SetHealthCheck:
    """Sets the given keys of a `healthcheck` (`test`, `interval`, `timeout`, `retries`, `start_period`,
    `start_interval`), adding the mapping when there is none. `$` in `test` is written as Compose needs it (`$$`)."""

    service: str
    settings: Mapping[str, str | int | tuple[str, ...]]
    reason: str = ""


@dataclass(frozen=True)
class SetVariable:
    """Sets or adds one variable of a service's environment, in the form that is there. `$` is written as `$$`.

    `refers`: the value is a text as a Compose file has it, in which `${NAME}` is a reference.
    """

    service: str
    name: str
    value: str
    reason: str = ""
    refers: bool = False


@dataclass(frozen=True)
class ReplaceText:
    """Puts `text` in place of characters `start:end` of a variable's resolved value, where those characters live.

    `at="origin"` edits the file that holds the characters (a `.env`, a default inside `${...}`); `at="reference"` puts
    the text in the service's own environment instead of the reference. An origin that would change anything which no
    operation of the same `apply` names is refused, and the caller may ask again at the reference.
    """

    service: str
    variable: str
    start: int
    end: int
    text: str
    at: Literal["origin", "reference"] = "origin"
    reason: str = ""


@dataclass(frozen=True)
class ReferText:
    """Puts `${name}` in place of characters `start:end` of a variable's value, which must stand in a Compose file.

    `text` is what the name means: where the project's env files do not have it yet, the last of them gets it (one that
    is not there is made). With the very characters as `text` the meaning stays.
    """

    service: str
    variable: str
    start: int
    end: int
    text: str
    name: str
    reason: str = ""


@dataclass(frozen=True)
class SetSetting:
    """Sets one value below a service: `("deploy", "resources", "limits", "memory")`. Mappings on the way are made.

    Texts are as a Compose file has them: `${NAME}` is a reference, `$$` a dollar. Edges, health checks and variables
    have operations of their own.
    """

    service: str
    path: tuple[str, ...]
    value: str | int | bool | tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True)
class RemoveSetting:
    """Takes a key out of a service, with all below it: `container_name`. One that another place brings is refused."""

    service: str
    key: str
    reason: str = ""


@dataclass(frozen=True)
class AddService:
    """Adds a whole service after the others. `definition` is plain data, texts as a Compose file has them."""

    service: str
    definition: Mapping[str, Any]
    reason: str = ""


@dataclass(frozen=True)
class AddResource:
    """Adds an entry to a section beside the services (`volumes`, `networks`, `configs`), which is made where it is missing."""

    section: str
    name: str
    definition: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def service(self) -> str:
        """No service: the name by which what stands beside them is told."""
        return ""


Operation = (
    SetCondition
    | AddDependency
    | RemoveDependency
    | SetHealthCheck
    | SetVariable
    | ReplaceText
    | ReferText
    | SetSetting
    | RemoveSetting
    | AddService
    | AddResource
)


@dataclass(frozen=True)
class CannotEdit:
    """An operation that was not carried out: one line with what is in the way, and what to do."""

    operation: Operation
    place: Place
    reason: str
    mend: str


@dataclass(frozen=True)
class Applied:
    """What `splice.apply` made: the stack read again from the new bytes, the edits, and what it could not do."""

    stack: Stack
    edits: tuple[Edit, ...]
    refused: tuple[CannotEdit, ...]
