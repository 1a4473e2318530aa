"""What flows between the survey, the steps, the planner and the runner. Frozen values, no input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from checks.model import Probe
from inventory.values import frozen
from runbooks.compose.model import Stack
from runbooks.compose.operations import Edit, Operation

Risk = Literal["low", "medium", "high"]
Proof = Literal["proven", "unproven", "not needed"]


HOST = ""
"""In place of a service's name: a question to the host itself, by a program of the engine that only reads."""


@frozen
class Question:
    """Something only a live container can answer: the exit code and output of a program inside it.

    `environment` reaches the program without ever standing in a process list; that is where secrets go. Questions with
    the same `key` are asked once. `timeout_s` is in seconds.
    """

    key: str
    service: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 5.0


@frozen
class Answer:
    """`exit` is None when the program could not run (no such program, container not running) or ran out of time."""

    exit: int | None
    output: str
    seconds: float


@frozen
class Container:
    """A container of the project, from its labels and state. Times are RFC 3339 as the engine gives them."""

    id: str
    name: str
    service: str
    number: int
    one_off: bool
    image: str
    image_id: str
    config_hash: str
    project: str
    state: str
    exit_code: int
    health: Literal["healthy", "unhealthy", "starting"] | None
    restarts: int
    started_at: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    addresses: Mapping[str, str]
    mounts: tuple[tuple[str, str, str], ...] = ()
    """(type, source, target)"""
    oom_killed: bool = False


def runs(container: Container) -> bool:
    """Whether a container is one of a service that runs now."""
    return container.state == "running" and not container.one_off


@frozen
class Image:
    """What a step may ask of an image: its own HEALTHCHECK, exposed ports, and default command."""

    id: str
    has_health_check: bool
    ports: tuple[int, ...] = ()
    command: tuple[str, ...] = ()


@frozen
class Facts:
    """What only the live host knows. `live` is False for `plan --file`: then nothing is proven."""

    live: bool
    engine: tuple[int, ...] = ()
    compose: tuple[int, ...] = ()
    cpus: float = 0.0
    memory: int = 0
    containers: Mapping[str, tuple[Container, ...]] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    rendered: Mapping[str, Any] | None = None


NO_FACTS = Facts(live=False)


@frozen
class Altered:
    """One thing that a step changes, as people and `plan --json` see it. `what` is a public word (DESIGN)."""

    service: str
    path: str
    line: int
    what: str
    before: str
    after: str
    proof: Proof
    reason: str = ""


@frozen
class Kept:
    """One thing that a step looked at and left alone, and why. `attention`: an operator should read it."""

    service: str
    what: str
    reason: str
    attention: bool = False


@frozen
class Refusal:
    """One thing that a step should have changed and could not: what is in the way and what to do."""

    service: str
    path: str
    line: int
    what: str
    reason: str
    mend: str


@frozen
class NeededImage:
    """The image of a service that a step adds: `name` as its definition has it, there before anything is written.

    It is pulled where the host does not have it; `context` (path -> bytes, with a Dockerfile) is built there instead. A
    built image's name should tell its content, as one that is there is not built again.

    `argv` is tried in the image once it is there, with `data` as its standard input and without a network: a program's own
    verdict on a file that is to be created. Ends it with anything but 0, nothing is written.
    """

    service: str
    name: str
    context: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    argv: tuple[str, ...] = ()
    data: bytes = field(default=b"", repr=False)


@frozen
class Change:
    """What one step makes of one stack. `stack` is the stack afterwards; `edits` are relative to the stack before."""

    step: str
    risk: Risk
    stack: Stack
    operations: tuple[Operation, ...] = ()
    edits: tuple[Edit, ...] = ()
    created: Mapping[str, bytes] = field(default_factory=dict)
    altered: tuple[Altered, ...] = ()
    kept: tuple[Kept, ...] = ()
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    before_undo: tuple[Question, ...] = ()
    """What must hold, or be made to hold, before this is undone: programs that end with 0, in containers that run (of
    several services parted by blanks the first that does). They are kept in the snapshot as they are, so they name secrets by reference (`$NAME` of the container) only."""
    images: tuple[NeededImage, ...] = ()
    modes: Mapping[str, int] = field(default_factory=dict)
    """Permission bits of files that must not stay, or be made, as readable as they would be otherwise."""
    abreast: str = ""
    """What hosts with the same words here begin together or not at all: they are changed in one batch."""
