"""One stage on the hosts of a batch: snapshot and write, bring up in waves, gate; and its undo, where one of them fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from checks import gate as gates
from checks.model import Gate, Verdict
from inventory import fleet
from inventory.errors import RunbookError
from runbooks import cut_off, events, gating
from runbooks.gating import Side
from runbooks.hostrun import HostRun, back_again, names, watched
from runbooks.plan_model import Plan, Stage
from runbooks.run_model import GOES_ON, INTERRUPTED, NOT_ROLLED_BACK, PAUSED, ROLLED_BACK, End, Run

T = TypeVar("T")


def work_on_stage(run: Run, hosts: Sequence[HostRun], number: int) -> tuple[End, list[HostRun]]:
    """One stage on the hosts of a batch: apply, gate, and undo when the gate fails. Returns the hosts that are left."""
    stages = {
        host.name: stage for host in hosts for stage in host.plan.stages if stage.number == number and stage.files
    }
    mine = [host for host in hosts if host.name in stages]
    others = [host for host in hosts if host.name not in stages]
    if not mine:
        return GOES_ON, list(hosts)
    begin = time.monotonic()
    came_up: dict[str, bool] = {}

    def apply(host: HostRun) -> None:
        came_up[host.name] = host.apply(stages[host.name], stage_count(run.plan))

    applied = survivors(run, mine, apply)
    written = [host for host in mine if host.snapshots and host.snapshots[-1][0].number == number]
    stage = stages[mine[0].name]
    if run.stop.is_set():
        return undo(run, written, stage, "the operator stopped the run", INTERRUPTED), []
    lost = [host for host in written if host not in applied]
    for host in lost:
        run.endings[host.name] = "stands"
    down = [host for host in applied if not came_up[host.name]]
    if down:
        show_symptoms(run, down, stage)
        return undo(
            run,
            applied,
            stage,
            f"a service did not get healthy on {', '.join(host.name for host in down)}",
            ROLLED_BACK,
        ), []
    if not applied:
        return GOES_ON, others
    verdict = gate(run, applied, stages, settings_of(run, stage), "change")
    if run.stop.is_set():
        return undo(run, applied, stage, "the operator stopped the run", INTERRUPTED), []
    if verdict.outcome == "fail" and settings_of(run, stage).on_failure == "rollback":
        return undo(run, applied, stage, f"the gate failed: {verdict.reason}", ROLLED_BACK), []
    if verdict.outcome != "pass":
        for host in applied:
            run.endings[host.name] = "paused"
        return End(
            "inconclusive",
            PAUSED,
            f"{stage.name}: {verdict.reason}",
            "look at the hosts, then ./inv migrate again or ./inv rollback",
        ), []
    on_each(run, applied, lambda host: journal_gate(host, stage, verdict))
    for host in applied:
        run.emit(events.StepDone(host=host.name, steps=names(stage), seconds=time.monotonic() - begin))
    return GOES_ON, [*applied, *others]


def settings_of(run: Run, stage: Stage) -> Gate:
    """A stage's gate, with what the inventory says of all gates. Raises InputError where that does not fit."""
    return gates.parse(run.options.gate, "the inventory", base=stage.gate)


def gate(run: Run, hosts: Sequence[HostRun], stages: Mapping[str, Stage], settings: Gate, side: Side) -> Verdict:
    """Watches a stage's probes on all its hosts at once. An undo is watched to its end, whoever wants to stop."""
    asked = watched if side == "change" else lambda stage: stage.probes
    probes = {host.name: asked(stages[host.name]) for host in hosts}
    steps = names(stages[hosts[0].name])
    wait = run.stop.wait if side == "change" else None
    return gating.watch(hosts, probes, settings, run.emit, steps=steps, side=side, wait=wait)


def undo(run: Run, hosts: Sequence[HostRun], stage: Stage, why: str, code: int) -> End:
    """Undoes the stage (or the whole run, as its gate says) on the hosts of a batch, and gates what is there then."""
    whole = {}
    for name, result in on_each(run, hosts, lambda host: undo_on(host, settings_of(run, stage), why)).items():
        whole[name] = bool(result.value)
        if result.error:
            run.errors[name] = result.error
    back = [host for host in hosts if whole[host.name]]
    if back:
        stages = {host.name: stage_of(host, stage) for host in back}
        verdict = gate(
            run, back, {name: stood_before(found) for name, found in stages.items()}, settings_of(run, stage), "undo"
        )
        if verdict.outcome != "pass":
            # What could not be measured is not known to stand as before.
            bad = {result.host for result in verdict.results if result.failed or result.unknown}
            whole |= dict.fromkeys(bad, False)
    for host in hosts:
        run.endings[host.name] = "undone" if whole[host.name] else "stands"
        if whole[host.name]:
            cut_off.ended(host, names(stage))
    stands = [name for name, well in whole.items() if not well]
    if stands:
        return End(
            "rollback failed",
            NOT_ROLLED_BACK,
            f"{why}; the rollback did not end well on {', '.join(stands)}",
            "see ./inv status and the host's own logs",
        )
    outcome: events.RunOutcome = "interrupted" if code == INTERRUPTED else "gate failed"
    return End(outcome, code, f"{why}; {stage.name} was undone")


def undo_on(host: HostRun, settings: Gate, why: str) -> bool:
    """Undoes on one host: the last stage, or all of the run where the gate's scope is the run."""
    well = True
    while host.snapshots and well:
        well = host.undo_last(why)
        if settings.rollback_scope == "step":
            break
    return well


def stage_of(host: HostRun, stage: Stage) -> Stage:
    return next(found for found in host.plan.stages if found.number == stage.number)


def stood_before(stage: Stage) -> Stage:
    """A stage for the gate after its undo: its services as they were."""
    restarts = [restart for restart in stage.restarts if not restart.created]
    step = replace(stage.steps[0], probes=back_again([restart.service for restart in restarts], restarts))
    return replace(stage, steps=(step,))


def on_each(run: Run, hosts: Sequence[HostRun], work: Callable[[HostRun], T]) -> dict[str, fleet.Result[T]]:
    """Runs `work` on hosts in parallel."""
    return fleet.each([host.name for host in hosts], lambda name: work(run.hosts[name]), limit=run.options.forks)


def survivors(run: Run, hosts: Sequence[HostRun], work: Callable[[HostRun], None]) -> list[HostRun]:
    """Runs `work` on hosts in parallel and returns those on which it did not raise; the others drop out of the run."""
    left = []
    for name, result in on_each(run, hosts, work).items():
        if result.error is None:
            left.append(run.hosts[name])
            continue
        run.errors[name] = result.error
        tell_failed(run, name, result.error)
    return left


def tell_failed(run: Run, name: str, error: RunbookError) -> None:
    """A host drops out of the run."""
    run.endings[name] = "failed"
    run.emit(events.HostFailed(host=name, error=error.message, mend=error.mend, code=error.code))


def show_symptoms(run: Run, hosts: Sequence[HostRun], stage: Stage) -> None:
    """What the services say that did not get healthy: one round of the stage's probes, judged as a gate."""
    stages = {host.name: stage_of(host, stage) for host in hosts}
    gate(run, hosts, stages, Gate(window_s=0.1, interval_s=0.1, min_samples=1), "change")


def journal_gate(host: HostRun, stage: Stage, verdict: Verdict) -> None:
    """Puts a gate's verdict into the host's journal; a host that cannot be told now loses nothing else."""
    try:
        said = {"steps": names(stage), "outcome": verdict.outcome, "reason": verdict.reason}
        host.writer.note("gate", said, wait=False)
    except RunbookError:
        return


def stage_count(plan: Plan) -> int:
    return max((stage.number for host in plan.hosts for stage in host.stages), default=0)
