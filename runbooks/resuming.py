"""What an interrupted run left half done on a host, and the plan that carries it on or undoes it. Pure but for `left`.

Files are never half written: the repair before each command sees to that. But a run whose controller or link was lost may
have written a stage, and not brought all of its services up, or not watched them through its gate.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from checks.model import Gate, Probe
from inventory.errors import Drift
from inventory.replies import understood
from rollback.commit import HostWriter
from rollback.model import Event, Snapshot
from runbooks.book import Phase
from runbooks.hostrun import Left, compose_of, order_of, restarts_of
from runbooks.plan_model import HostPlan, Plan, PlannedFile, Restart, Stage, StartupPlan, StepPlan
from runbooks.undo import applied
from runbooks.unmaking import made_of


def left(writer: HostWriter, runs: Collection[str]) -> Left | None:
    """What one of some runs left half done; None where the last stage passed its gate, is undone, was never written, or is
    another run's.

    Raises Drift where its files were changed since, Refused for a journal that was altered.
    """
    standing = applied(writer.snapshots())
    if not standing or standing[-1].run not in runs:
        return None
    snapshot = standing[-1]
    events = since(writer.journal(), snapshot)
    if any(
        event.kind == "gate" and event.data.get("outcome") == "pass" and "after" not in event.data for event in events
    ):
        return None
    found = writer.read([state.path for state in snapshot.after])
    for state in snapshot.after:
        if found[state.path][0] != state:
            raise Drift(
                f"{state.path} was changed since run {snapshot.run} wrote it", host=writer.link.host.name,
                mend="put it back (./inv status shows what differs), then repeat",
            )  # fmt: skip
    return Left(snapshot, failed(events))


def since(journal: Sequence[Event], snapshot: Snapshot) -> list[Event]:
    """What was done after a stage was written: by its run, and by those that went on with it."""
    at = [n for n, event in enumerate(journal) if event.kind == "commit" and event.data.get("id") == snapshot.id]
    return list(journal[at[-1] + 1 :]) if at else []


def failed(events: Sequence[Event]) -> str:
    """The last command of some events, where it ended with a failure; or a gate that failed."""
    gates = [event for event in events if event.kind == "gate" and event.data.get("outcome") == "fail"]
    if gates:
        return "its gate failed"
    ends = [event for event in events if event.kind == "command-end"]
    if not ends or not ends[-1].data.get("exit"):
        return ""
    begun = {event.data.get("id"): event.data.get("argv") for event in events if event.kind == "command-begin"}
    words = begun.get(ends[-1].data.get("id"))
    what = f"bringing up {words[5]} failed" if isinstance(words, list) and len(words) > 5 else "a command failed"
    return f"{what} (exit {ends[-1].data['exit']})"


def ups_of(snapshot: Snapshot) -> tuple[Restart, ...]:
    """All services that a snapshot's transaction brings up, in their order, those that it makes among them."""
    found = list(restarts_of(snapshot))
    with understood("", f"the note of snapshot {snapshot.id}", "see the host's state folder"):
        for at, service, wait, scale, check in json.loads(snapshot.note.get("created", "[]")):
            made = Restart(str(service), "made anew", False, 0.0, wait_s=float(wait), scale=int(scale), created=True,
                           check=tuple(map(str, check)))  # fmt: skip
            found.insert(int(at), made)
    return tuple(found)


def plan(phase: Phase, environment: str, hosts: Mapping[str, Left], probes: Mapping[str, Sequence[Probe]]) -> Plan:
    """The plan of what is left on some hosts. `probes` are what else is asked of each in the gate."""
    # A stage has one number on all hosts.
    numbers = {step: number for number, step in enumerate(sorted({each.snapshot.step for each in hosts.values()}), 1)}
    made = []
    for name, each in hosts.items():
        snapshot = each.snapshot
        stage = stage_of(phase, snapshot, numbers[snapshot.step], probes.get(name, ()))
        made.append(HostPlan(
            name, snapshot.project_dir, compose_of(snapshot), (stage,), StartupPlan(), images=snapshot.images,
        ))  # fmt: skip
    return Plan(phase.number, environment, tuple(numbers), tuple(made))


def stage_of(phase: Phase, snapshot: Snapshot, number: int, more: Sequence[Probe]) -> Stage:
    """A stage as its snapshot knows it, with the gate that the phase has for it."""
    names = snapshot.step.split("+")
    ups = ups_of(snapshot)
    probes = [Probe("container", f"container:{up.service}", up.service) for up in ups]
    probes += [Probe("command", f"answers:{up.service}", up.service, {"command": up.check}) for up in ups if up.check]
    known = {probe.name for probe in probes}
    probes += [probe for probe in more if probe.name not in known]
    gates = [step.gate for step in phase.steps if step.name in names]
    step = StepPlan(names[0], names[0], "low", probes=tuple(probes))
    steps = (step, *(StepPlan(name, name, "low") for name in names[1:]))
    files = tuple(PlannedFile(state, None, None) for state in snapshot.before)
    return Stage(
        number, steps, gates[0] if gates else Gate(), files=files, restarts=ups, made=made_of([snapshot]), order=order_of(snapshot),
    )  # fmt: skip
