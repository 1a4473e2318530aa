"""One host during a run: its link, its writer, its plan, and what it does with them: apply a stage, undo it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from checks.model import Probe, Sample
from checks.probes import round_
from inventory.engine import Compose
from inventory.errors import RunbookError
from inventory.link import Link
from inventory.replies import understood
from inventory.values import frozen
from rollback import vault
from rollback.commit import HostWriter
from rollback.model import FileState, FileWrite, Snapshot, Transaction
from runbooks import events, imaging, unmaking, waves
from runbooks.plan_model import HostPlan, Restart, Stage

# Gives a service's image name back to the image that ran before, where it has moved on since. Standard input: lines
# "service image-id"; the answer is a line for each name that was given back.
RETAG = r"""
while read -r service id; do
    container=$(docker ps -aq --filter "label=com.docker.compose.project=$1" --filter "label=com.docker.compose.service=$service" | head -n 1)
    [ -n "$container" ] || continue
    name=$(docker inspect -f '{{.Config.Image}}' "$container") || continue
    case $name in sha256:*|*@sha256:*) continue ;; esac
    [ "$(docker image inspect -f '{{.Id}}' "$name" 2>/dev/null)" = "$id" ] && continue
    docker tag "$id" "$name" && echo "$name is $id again"
done
"""


@frozen
class Left:
    """A stage that was written and not gated. `failed` is what of it failed; empty where nothing is known to have."""

    snapshot: Snapshot
    failed: str = ""

    @property
    def why(self) -> str:
        """What becomes of it, and why, for the operator."""
        step, run = self.snapshot.step, self.snapshot.run
        if self.failed:
            return f"{step} of run {run} is undone: {self.failed} before the run was lost"
        return f"{step} of run {run} is carried on: its files are written, its gate was never passed"


@dataclass
class HostRun:
    """What a run keeps of one host. `snapshots` are this run's, oldest first, with the stage that each undoes.

    `left`: what an earlier run wrote already of the first stage, and did not carry to its end.
    """

    link: Link
    writer: HostWriter
    plan: HostPlan
    emit: events.Sink
    stopped: Callable[[], bool]
    snapshots: list[tuple[Stage, Snapshot]] = field(default_factory=list)
    left: Left | None = None
    begun: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        return self.plan.host

    def apply(self, stage: Stage, of: int) -> bool:
        """Writes a stage's files and brings its services up. False when one did not get healthy, or the run was stopped.

        Raises Drift, Locked or Refused before anything is written.
        """
        steps = names(stage)
        self.emit(events.StepStarted(
            host=self.name, steps=steps, number=stage.number, of=of, risk=stage.risk,
            files=tuple(file.path for file in stage.files), services=tuple(restart.service for restart in stage.restarts),
            expected_s=sum(restart.downtime_s for restart in stage.restarts),
        ))  # fmt: skip
        if self.left is not None:
            left, self.left = self.left, None
            self.emit(events.Noted(host=self.name, text=left.why, attention=True))
            self.snapshots.append((stage, left.snapshot))
            return not left.failed and self.bring_up(stage.restarts) and not self.stopped()
        self.bring_images(stage)
        begin = time.monotonic()
        transaction = Transaction(
            id=f"{self.writer.run}-{stage.number}", run=self.writer.run, step=stage.name, project_dir=self.plan.project_dir,
            writes=tuple(FileWrite(self._made(file.before), file.data, file.mode) for file in stage.files),
            reads=tuple(map(self._made, stage.reads)), images=self.plan.images, note=undo_note(self.plan, stage),
        )  # fmt: skip
        # The controller's copy comes first: whatever happens to the host from here on, its files can be given back.
        bytes_before = [file.data_before for file in stage.files]
        snapshot = self.writer.commit(
            transaction, lambda made: vault.save(self.name, self.writer.project_name, made, bytes_before)
        )
        self.snapshots.append((stage, snapshot))
        self.emit(events.FilesWritten(
            host=self.name, steps=steps, snapshot=snapshot.id, paths=tuple(file.path for file in stage.files),
            seconds=time.monotonic() - begin,
        ))  # fmt: skip
        return self.bring_up(stage.restarts) and not self.stopped()

    def _made(self, planned: FileState) -> FileState:
        """A file's state with the owner that it got, where an earlier stage of this run made it."""
        if planned.sha256 is None or planned.uid is not None:
            return planned
        made = {state.path: state for _, snapshot in self.snapshots for state in snapshot.after}.get(planned.path)
        return planned if made is None else replace(planned, uid=made.uid, gid=made.gid)

    def bring_images(self, stage: Stage) -> None:
        """Sees that the images of services that a stage adds are there, and notes their ids. Raises Refused."""
        ids = imaging.provide(self.link, stage.images)
        for image in stage.images:
            self.emit(events.Noted(host=self.name, text=f"{image.service} runs {image.name}, {ids[image.service]}"))
        if ids:
            self.writer.note("images", ids)

    def bring_up(self, restarts: Sequence[Restart], *, undoing: bool = False) -> bool:
        """Brings services up one at a time, in the plan's order. An undo is carried to its end, whatever is unwell
        meanwhile, and need not wait for the verdict of checks that are no longer there."""
        count = iter(range(1, len(restarts) + 1))
        expected = {restart.service: restart.downtime_s for restart in restarts}

        def report(brought: waves.Brought) -> None:
            self.emit(events.ServiceUp(
                host=self.name, service=brought.service, number=next(count), of=len(restarts), ok=brought.ok,
                seconds=brought.seconds, expected_s=expected[brought.service], output=brought.output,
            ))  # fmt: skip

        planned = [
            waves.Wave(
                restart.service,
                restart.wait_s,
                restart.scale if restart.scale != 1 else None,
                restart.check if undoing else (),
                restart.renew,
                () if undoing else restart.needs,
            )
            for restart in restarts
        ]
        stop = (lambda: False) if undoing else self.stopped
        return waves.bring_up(self.writer, self.plan.compose, planned, report=report, stopped=stop)

    def undo_last(self, why: str) -> bool:
        """Undoes this run's last stage: files byte for byte, the images that ran, services in waves. False: it stands."""
        stage, snapshot = self.snapshots[-1]
        begin = time.monotonic()
        paths = tuple(state.path for state in snapshot.before)
        detail, well = "", False
        try:
            unmaking.ready(self.link, self.plan.compose.name, [snapshot])
            self.writer.undo(snapshot)
            self.snapshots.pop()
            self.give_back_images(snapshot)
            back = in_order([each for each in stage.restarts if not each.created], stage.order)
            well = self.bring_up(back, undoing=True)
            detail = "" if well else "the files are as before; not every service got healthy with them"
            if well:
                detail = unmaking.take_away(self.link, self.plan.compose.name, stage.made)
                well = not detail
        except RunbookError as error:
            detail = str(error)
        self.emit(events.StepUndone(
            host=self.name, steps=names(stage), snapshot=snapshot.id, paths=paths, why=why, ok=well,
            seconds=time.monotonic() - begin, detail=detail,
        ))  # fmt: skip
        return well

    def give_back_images(self, snapshot: Snapshot) -> None:
        """Lets each image name mean again what ran before the transaction, and says which had moved on."""
        if not snapshot.images:
            return
        lines = "".join(f"{service} {image}\n" for service, image in snapshot.images.items())
        reply = self.link.run(RETAG, self.plan.compose.name, data=lines.encode(), become=self.link.host.become)
        for line in reply.text.splitlines():
            self.emit(events.Noted(host=self.name, text=line))

    def round(self, probes: Sequence[Probe]) -> list[Sample]:
        """One sample of each probe."""
        return round_(self.link, probes, self.plan.compose.name)


def undo_note(plan: HostPlan, stage: Stage) -> dict[str, str]:
    """What a snapshot says of how to bring the stack up again, so that a rollback needs no plan."""
    restarts = [[r.service, r.wait_s, r.scale, r.downtime_s, r.check, r.renew] for r in stage.restarts if not r.created]
    how = {
        "name": plan.compose.name,
        "files": plan.compose.files,
        "env_files": plan.compose.env_files,
        "profiles": plan.compose.profiles,
    }
    made = [[at, r.service, r.wait_s, r.scale, r.check] for at, r in enumerate(stage.restarts) if r.created]
    return {
        "restarts": json.dumps(restarts),
        "compose": json.dumps(how),
        "order": json.dumps(stage.order),
        "steps": stage.name,
        **({"created": json.dumps(made)} if made else {}),
        **unmaking.note(stage),
    }


def restarts_of(snapshot: Snapshot) -> tuple[Restart, ...]:
    """The services that a snapshot's transaction brought up, in their order."""
    with understood("", f"the note of snapshot {snapshot.id}", "see the host's state folder"):
        return tuple(
            Restart(
                str(service), "goes back", False, float(away), wait_s=float(wait), scale=int(scale),
                check=tuple(map(str, check)), renew=any(renew),
            )
            for service, wait, scale, away, check, *renew in json.loads(snapshot.note.get("restarts", "[]"))
        )  # fmt: skip


def order_of(snapshot: Snapshot) -> tuple[str, ...]:
    """All services as the stack before a snapshot's transaction had them, each after what it needs; older notes have none."""
    with understood("", f"the note of snapshot {snapshot.id}", "see the host's state folder"):
        return tuple(map(str, json.loads(snapshot.note.get("order", "[]"))))


def in_order(restarts: Iterable[Restart], order: Sequence[str]) -> tuple[Restart, ...]:
    """Restarts each after what its service needs; those that the order does not name stay last, as they are."""
    places = {service: at for at, service in enumerate(order)}
    return tuple(sorted(restarts, key=lambda restart: places.get(restart.service, len(places))))


def compose_of(snapshot: Snapshot) -> Compose:
    """How Compose was called when a snapshot was made."""
    with understood("", f"the note of snapshot {snapshot.id}", "see the host's state folder"):
        how = json.loads(snapshot.note["compose"])
        lists = (tuple(map(str, how[key])) for key in ("files", "env_files", "profiles"))
        return Compose(snapshot.project_dir, str(how["name"]), *lists)


def names(stage: Stage) -> tuple[str, ...]:
    """A stage's steps by name."""
    return tuple(step.step for step in stage.steps)


def watched(stage: Stage, extra: Sequence[Probe] = ()) -> tuple[Probe, ...]:
    """A stage's probes; a container that it made anew must not have been restarted since."""
    fresh = {restart.service for restart in stage.restarts}
    every = {probe.name: probe for probe in (*extra, *stage.probes)}
    return tuple(
        replace(probe, settings={"restarts": 0, **probe.settings})
        if probe.kind == "container" and probe.service in fresh
        else probe
        for probe in every.values()
    )


def back_again(services: Iterable[str], restarts: Sequence[Restart]) -> tuple[Probe, ...]:
    """What is watched after an undo: that each service runs, and still answers the check that it had in between.

    A check of the old stack may take its whole interval for a verdict. So "starting" is no failure here, nor, where the
    check itself is asked, an "unhealthy" from while the services that this one needs were away. Containers that neither
    the change nor the undo made anew keep the restarts that they had.
    """
    checks = {restart.service: restart.check for restart in restarts if restart.check}
    found = []
    for service in dict.fromkeys([*(restart.service for restart in restarts), *services]):
        lenient = "runs_only" if service in checks else "may_start"
        found.append(Probe("container", f"container:{service}", service, {lenient: True}))
        if service in checks:
            found.append(Probe("command", f"answers:{service}", service, {"command": checks[service]}))
    return tuple(found)
