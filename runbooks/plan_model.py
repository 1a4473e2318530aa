"""What a plan is: the values that `plan.make` builds, the screen shows, a file keeps and the runner carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from checks.model import Gate, Probe
from inventory.engine import Compose
from inventory.hooks import Hook
from inventory.values import frozen
from rollback.model import FileState
from runbooks.model import Altered, Kept, NeededImage, Question, Refusal, Risk


@frozen
class PlannedFile:
    """One file of a stage: what it must be before, and its bytes before and after (None: absent)."""

    before: FileState
    data_before: bytes | None = field(repr=False)
    data: bytes | None = field(repr=False)
    mode: int | None = None

    @property
    def path(self) -> str:
        return self.before.path


@frozen
class Restart:
    """A container that a stage recreates (`created`: makes for the first time), in the plan's order.

    `downtime_s`: from the stop of the old container to the first healthy answer of the new one, estimated as `basis`
    says. `wait_s`: how long to wait for health before giving up. `scale`: how many containers it keeps.
    `loses`: paths in the container's writable layer that a recreation would lose. `check`: the words of its health
    check after the stage, by which an undo sees that it answers although its check is gone then. `renew`: nothing in the
    Compose files says so, so Compose is told to make it anew. `needs`: services that it waits for until they are healthy, so
    that it is not touched where one of them is not.
    """

    service: str
    reason: str
    holds_data: bool
    downtime_s: float
    basis: str = ""
    wait_s: float = 60.0
    scale: int = 1
    created: bool = False
    loses: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    renew: bool = False
    needs: tuple[str, ...] = ()


@frozen
class StepPlan:
    """What one step makes of one host's stack, as people and JSON see it."""

    step: str
    kind: str
    risk: Risk
    altered: tuple[Altered, ...] = ()
    kept: tuple[Kept, ...] = ()
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    before_undo: tuple[Question, ...] = ()
    images: tuple[NeededImage, ...] = ()
    abreast: str = ""


@frozen
class Made:
    """What a stage makes on the engine besides changing what is there: an undo takes it away again, by these names."""

    services: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


NOTHING_MADE = Made()


@frozen
class Stage:
    """Steps that stand together: one transaction, one bring-up, one gate. No files: nothing to do on this host.

    `number` counts a phase's stages from 1, the same on every host. `reads` are files that the plan was made from and
    that the stage does not write. `order`: all services as the stack before it has them, each after what it needs.
    """

    number: int
    steps: tuple[StepPlan, ...]
    gate: Gate
    files: tuple[PlannedFile, ...] = ()
    reads: tuple[FileState, ...] = ()
    restarts: tuple[Restart, ...] = ()
    made: Made = NOTHING_MADE
    order: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The names of its steps, as journals and events carry it."""
        return "+".join(step.step for step in self.steps)

    @property
    def risk(self) -> Risk:
        """The highest risk of its steps."""
        order: tuple[Risk, ...] = ("low", "medium", "high")
        return max((step.risk for step in self.steps), key=order.index, default="low")

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The probes of all its steps, each once."""
        unique = {(probe.kind, probe.name, probe.service): probe for step in self.steps for probe in step.probes}
        return tuple(unique.values())

    @property
    def before_undo(self) -> tuple[Question, ...]:
        """What must hold before it is undone; the last step's first."""
        return tuple(question for step in reversed(self.steps) for question in step.before_undo)

    @property
    def images(self) -> tuple[NeededImage, ...]:
        """The images that must be there before it is written."""
        return tuple(image for step in self.steps for image in step.images)


@frozen
class Baseline:
    """How what runs fits the files. `blocking`: nothing is written while it is so, each with its mend; `warnings`: to be read."""

    blocking: tuple[str, ...]
    warnings: tuple[str, ...]


@frozen
class Trial:
    """What a host made of the candidates of a plan, by their names.

    `wrong`: what is wrong with a candidate, in one line. `renews`: services that Compose would recreate for it; a
    candidate that Compose said nothing about is absent. `layers`: paths by service.
    """

    wrong: Mapping[str, str]
    renews: Mapping[str, frozenset[str]]
    layers: Mapping[str, tuple[str, ...]]


@frozen
class StartupPlan:
    """A cold start as it is predicted before and after the plan. `ups`: how many `up` commands it takes."""

    groups: tuple[tuple[str, ...], ...] = ()
    critical_path: tuple[str, ...] = ()
    before_s: float = 0.0
    after_s: float = 0.0
    ups_before: int = 1
    ups_after: int = 1


@frozen
class HostPlan:
    """What a plan does on one host. `images` maps a service to the image id that runs now.

    `blocked` says why nothing can be carried out as things are; `warnings` are findings that do not stand in the way.
    `live` is False for `plan --file`. `grounded`: the host itself was asked what would spoil a run. `hooks` are run before and after the batch that the host is in.
    """

    host: str
    project_dir: str
    compose: Compose
    stages: tuple[Stage, ...]
    startup: StartupPlan
    images: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    live: bool = True
    grounded: bool = False
    hooks: tuple[Hook, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to do on this host."""
        return any(stage.files for stage in self.stages)

    @property
    def files(self) -> tuple[PlannedFile, ...]:
        """Each file that changes, from what it is now to what it is after the last stage."""
        whole: dict[str, PlannedFile] = {}
        for stage in self.stages:
            for file in stage.files:
                first = whole.get(file.path, file)
                mode = first.mode if file.mode is None else file.mode
                whole[file.path] = PlannedFile(first.before, first.data_before, file.data, mode)
        return tuple(file for file in whole.values() if file.data != file.data_before)

    @property
    def restarts(self) -> tuple[Restart, ...]:
        """All restarts in their order, stage by stage; a container that is recreated twice stands there twice."""
        return tuple(restart for stage in self.stages for restart in stage.restarts)


@frozen
class Plan:
    """Phase, environment and the changes per host. `steps` are the phase's step names that were planned."""

    phase: str
    environment: str
    steps: tuple[str, ...]
    hosts: tuple[HostPlan, ...]
    fingerprint: str = ""
    promotion_key: str = ""

    @property
    def changed(self) -> bool:
        """Whether there is anything to do anywhere."""
        return any(host.changed for host in self.hosts)

    def host(self, name: str) -> HostPlan:
        """The plan of one host. Raises KeyError for one that the plan does not have."""
        return {each.host: each for each in self.hosts}[name]
