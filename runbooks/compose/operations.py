"""What a step asks of a stack, as values that can be listed, compared and printed, and what came of it.

`splice.apply` carries operations out as splices of the stack's bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, NamedTuple

from inventory.values import frozen
from runbooks.compose.model import Condition, Place, Stack


class Edit(NamedTuple):
    """A splice: bytes `start:end` of `path` become `text`. Offsets are of the file before any edit of its change."""

    path: str
    start: int
    end: int
    text: bytes
    reason: str


@frozen
class SetCondition:
    """Gives an edge a condition; a list becomes a map with every other edge as it was."""

    service: str
    dependency: str
    condition: Condition
    required: bool | None = None
    reason: str = ""


@frozen
class AddDependency:
    """Adds an edge in the form that is there (a list becomes a map when the condition needs one)."""

    service: str
    dependency: str
    condition: Condition
    reason: str = ""


@frozen
class RemoveDependency:
    """Take an edge of `depends_on` out. `reason`: why, for the plan."""

    service: str
    dependency: str
    reason: str = ""


@frozen
class SetHealthCheck:
    """Sets the given keys of a `healthcheck` (`test`, `interval`, `timeout`, `retries`, `start_period`,
    `start_interval`), adding the mapping when there is none. `$` in `test` is written as Compose needs it (`$$`)."""

    service: str
    settings: Mapping[str, str | int | tuple[str, ...]]
    reason: str = ""


@frozen
class SetVariable:
    """Sets or adds one variable of a service's environment, in the form that is there. `$` is written as `$$`.

    `refers`: the value is a text as a Compose file has it, in which `${NAME}` is a reference.
    """

    service: str
    name: str
    value: str
    reason: str = ""
    refers: bool = False


@frozen
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


@frozen
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


@frozen
class SetSetting:
    """Sets one value below a service: `("deploy", "resources", "limits", "memory")`. Mappings on the way are made.

    Texts are as a Compose file has them: `${NAME}` is a reference, `$$` a dollar. Edges, health checks and variables
    have operations of their own.
    """

    service: str
    path: tuple[str, ...]
    value: str | int | bool | tuple[str, ...]
    reason: str = ""


@frozen
class RemoveSetting:
    """Takes a key out of a service, with all below it: `container_name`. One that another place brings is refused."""

    service: str
    key: str
    reason: str = ""


@frozen
class AddService:
    """Adds a whole service after the others. `definition` is plain data, texts as a Compose file has them."""

    service: str
    definition: Mapping[str, Any]
    reason: str = ""


@frozen
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


@frozen
class CannotEdit:
    """An operation that was not carried out: one line with what is in the way, and what to do."""

    operation: Operation
    place: Place
    reason: str
    mend: str


@frozen
class Applied:
    """What `splice.apply` made: the stack read again from the new bytes, the edits, and what it could not do."""

    stack: Stack
    edits: tuple[Edit, ...]
    refused: tuple[CannotEdit, ...]
