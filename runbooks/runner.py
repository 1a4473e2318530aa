"""Carries a plan out: for each batch of hosts, for each stage: snapshot and write, bring up in waves, gate, record.

A gate that fails undoes its stage on the batch and ends the run. Every host is whole whenever this module returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from inventory.errors import Locked
from runbooks import batches, events, hooks
from runbooks.heartbeat import heartbeat
from runbooks.hostrun import HostRun
from runbooks.plan_model import Plan
from runbooks.run_model import FAILED, GOES_ON, INTERRUPTED, REFUSED, End, Run
from runbooks.staging import on_each, settings_of, stage_count, survivors, tell_failed, work_on_stage

Work = Callable[[Run, Sequence[HostRun], int], End]
"""What does one batch: the run, its hosts, the batch's number."""


def migrate(run: Run, work: Work | None = None) -> int:
    """Carries out the run's plan and returns the exit code of the command line (DESIGN, "The command line").

    `work` does a batch where not this process does. Raises InputError for gate settings of the inventory that do not fit a stage, and for batches that part hosts which
    begin together, before anything is written.
    """
    for stage in (stage for host in run.plan.hosts for stage in host.stages):
        settings_of(run, stage)
    names_ = [host.host for host in run.plan.hosts if host.host in run.hosts]
    order = batches.split(names_, run.options.serial, run.options.forks)
    batches.check_abreast(order, _abreast(run.plan))
    run.emit(events.RunStarted(
        run=run.id, kind="migrate", environment=run.plan.environment, who=run.who, batches=order, phase=run.plan.phase,
        steps=run.plan.steps, fingerprint=run.plan.fingerprint, promotion_key=run.plan.promotion_key,
        override=run.options.override,
    ))  # fmt: skip
    for name, error in run.errors.items():
        tell_failed(run, name, error)
    end = GOES_ON
    for number, batch in enumerate(order, 1):
        if end.code or run.stop.is_set() or too_many_failed(run):
            break
        run.emit(events.BatchStarted(number=number, of=len(order), hosts=batch))
        end = (work or work_on)(run, [run.hosts[name] for name in batch], number)
        if not end.code and number < len(order):
            end = no_further(run, batch)
    for name in (host.host for host in run.plan.hosts):
        run.endings.setdefault(
            name, "failed" if name in run.errors else "skipped" if end.code or run.stop.is_set() else "unchanged"
        )
    return finish(run, end)


def _abreast(plan: Plan) -> list[tuple[str, str]]:
    """(host, what it begins together with others) of each step that changes anything."""
    return [
        (host.host, step.abreast)
        for host in plan.hosts
        for stage in host.stages
        if stage.files
        for step in stage.steps
        if step.abreast
    ]


def no_further(run: Run, batch: Sequence[str]) -> End:
    """Whether a batch lets the next one begin, as it does in Ansible: not after one in which every host failed.

    Nor after one that lost a host in the middle of its change: nobody knows whether the change is what took it.
    """
    lost = [name for name in batch if run.endings[name] == "stands"]
    if lost:
        where = "; ".join(f"{name}: {run.errors[name].message}" for name in lost)
        kept = ", ".join(run.hosts[name].snapshots[-1][1].id for name in lost)
        return End(
            "failed", FAILED, f"{where}: lost in the middle of its change, whose files stand there (snapshot {kept}); "
            "the batches after it were not begun",
            "when it answers again: ./inv migrate --resume, or ./inv rollback",
        )  # fmt: skip
    tried = [name for name in batch if run.endings[name] != "unchanged"]
    failed = [name for name in tried if run.endings[name] == "failed"]
    if not failed or failed != tried:
        return GOES_ON
    refused = all(run.errors[name].code == REFUSED for name in failed)
    why = "; ".join(f"{name}: {run.errors[name].message}" for name in failed)
    mend = "mend that, then repeat" if any(not isinstance(run.errors[name], Locked) for name in failed) else ""
    return End(
        "refused" if refused else "failed", REFUSED if refused else FAILED,
        f"{why}; no host of the batch was migrated, so the batches after it were not begun", mend,
    )  # fmt: skip


def work_on(run: Run, hosts: Sequence[HostRun], number: int) -> End:
    """One batch: locks, every stage, and the locks given back whatever happens."""
    changed = [host for host in hosts if host.plan.changed]
    for host in hosts:
        if host not in changed:
            run.endings[host.name] = "unchanged"
    ready = survivors(run, changed, lambda host: enter(run, host))
    try:
        with heartbeat(ready):
            return between_hooks(run, ready, number)
    finally:
        on_each(run, ready, lambda host: host.writer.release())
        for host in ready:
            ending = run.endings.setdefault(host.name, "failed")
            run.emit(events.HostEnded(
                host=host.name, ending=ending, seconds=time.monotonic() - host.begun, project=host.writer.project_name,
                head=host.writer.head,
            ))  # fmt: skip


def enter(run: Run, host: HostRun) -> None:
    """Takes a host's lock for its batch. Raises Refused where its window is over, Locked where another run has it."""
    error = run.closed(host.name)
    if error is not None:
        raise error
    # Where nothing comes between, the lock is taken in the exchange of the first write.
    host.writer.lock(wait=bool(host.plan.hooks or run.options.override or host.left))
    if run.options.override:
        host.writer.note("override", {"reason": run.options.override, "who": run.who})


def between_hooks(run: Run, hosts: Sequence[HostRun], number: int) -> End:
    """The stages of a batch, with the hooks before it, and those after it whatever happened."""
    batch = hooks.Batch(run.id, run.plan.environment, number, hosts, run.secrets)
    failures = hooks.before(batch)
    if failures:
        for host in hosts:
            run.endings[host.name] = "failed" if host.name in {failure.host for failure in failures} else "skipped"
        end = End("failed", FAILED, f"{failures[0]}; nothing was written", "mend that, then repeat")
    else:
        end = all_stages(run, hosts)
    failures = hooks.after(batch, end.outcome, run.endings)
    if failures and not end.code:
        end = End("failed", FAILED, f"{failures[0]}; what was migrated stands", "mend that, then repeat for the others")
    return end


def all_stages(run: Run, hosts: Sequence[HostRun]) -> End:
    """Every stage, one after another, on the hosts of a batch."""
    end, left = GOES_ON, list(hosts)
    for number in range(1, stage_count(run.plan) + 1):
        end, left = work_on_stage(run, left, number)
        if end.code:
            break
    for host in left if not end.code else ():
        run.endings[host.name] = "changed"
    return end


def too_many_failed(run: Run) -> bool:
    """Whether more hosts failed than the inventory allows."""
    most = run.options.max_fail_percentage
    everyone = {host.host for host in run.plan.hosts} | run.errors.keys()
    return most is not None and 100 * len(run.errors) / max(1, len(everyone)) > most


def finish(run: Run, end: End) -> int:
    """The last event of a run, and its exit code."""
    outcome, code, message, mend = end.outcome, end.code, end.message, end.mend
    if not code and run.stop.is_set():
        outcome, code, message = "interrupted", INTERRUPTED, "the operator stopped the run"
    if not code and run.errors:
        refused = all(error.code == REFUSED for error in run.errors.values())
        outcome, code = ("refused", REFUSED) if refused else ("failed", FAILED)
        locked = all(isinstance(error, Locked) for error in run.errors.values())
        message = "; ".join(f"{name}: {error.message}" for name, error in run.errors.items())
        mend = "" if locked else "mend that, then repeat: hosts that are done are left alone"
    if not code and not run.plan.changed:
        outcome, message = "nothing", "there was nothing to do"
    run.emit(events.RunEnded(
        run=run.id, outcome=outcome, code=code, hosts=dict(run.endings), seconds=time.monotonic() - run.begun,
        message=message, mend=mend,
    ))  # fmt: skip
    return code
