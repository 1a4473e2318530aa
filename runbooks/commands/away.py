"""A fleet's hosts planned and carried out by an executor's workers: whole hosts go out as errands, and here is what a batch makes of them.

The rules are those of a run in threads: the first batch is a canary, a host that fails its gate undoes its whole batch
and ends the run. Only that each host of a batch is watched by its own gate, not all of them by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

from inventory import fleet
from inventory.errors import InputError
from inventory.values import frozen
from rollback import vault
from runbooks import events
from runbooks import plan as plans
from runbooks.book import Phase
from runbooks.commands.errands import Carried, Carry, Errand, Look, Looked, TakeBack, carry, look, take_back
from runbooks.hostrun import HostRun
from runbooks.plan_model import Plan
from runbooks.run_model import GOES_ON, INTERRUPTED, NOT_ROLLED_BACK, ROLLED_BACK, End, Run
from runbooks.session import Session
from runbooks.staging import tell_failed

G = TypeVar("G")


@frozen
class Away:
    """An executor and the session whose hosts its workers go to. Nothing is connected here."""

    executor: Executor
    session: Session

    def errand(self, name: str) -> Errand:
        return Errand(self.session.run, self.session.who, self.session.inventory.environment, self.session.host(name))

    def live(self, phase: Phase, emit: events.Sink, *, accepted: str, accept_drift: bool, mends: bool
             ) -> tuple[Plan, tuple[str, ...]]:  # fmt: skip
        """The plan of every host that can be planned, with what stands against it, and the lines that show drift.

        Raises InputError for what is done from the controller alone.
        """
        if any(host.variables.get("hooks") for host in self.session.inventory.hosts):
            raise InputError(
                "is run by the controller, which hooks need", key="--executor", mend="leave it out, or the hooks"
            )

        def heard(_name: str, result: fleet.Result[Looked]) -> None:
            if result.value is not None:
                self.session.mask.take(result.value.secrets)
                for event in result.value.told:
                    emit(event)

        given = {name: Look(self.errand(name), phase, accepted, accept_drift, mends) for name in self.session.links}
        found = fleet.sent(self.executor, look, given, limit=self.session.forks, ended=heard)
        self.session.drop({name: result.error for name, result in found.items() if result.error})
        looked = [result.value for result in found.values() if result.value is not None]
        made = plans.make(phase, self.session.inventory.environment, [each.plan for each in looked])
        return made, tuple(line for each in looked for line in each.lines)

    def work_on(self, run: Run, hosts: Sequence[HostRun], number: int) -> End:
        """One batch: each host whole, and all of them undone where one's gate failed. As `runner.work_on`."""
        left: dict[str, Carried] = {}
        given: dict[str, Carry] = {}
        for host in hosts:
            if not host.plan.changed:
                run.endings[host.name] = "unchanged"
            elif (error := run.closed(host.name)) is not None:
                run.errors[host.name] = error
                tell_failed(run, host.name, error)
            else:
                alone = replace(run.plan, hosts=(host.plan,))
                given[host.name] = Carry(self.errand(host.name), alone, run.options, number)
        self._send(run, carry, given, left)
        end = worst([each.end for each in left.values()])
        failing = min((each.failed for each in left.values() if each.failed), default=0)
        if failing:
            back = {
                name: TakeBack(given[name], failing, end.message, end.code)
                for name, each in left.items()
                if any(stage >= failing for stage, _ in each.snapshots) and each.ending == "changed"
            }
            self._send(run, take_back, back, left)
            end = worst([end, *(each.end for each in left.values())])
        for name in given:
            run.endings.setdefault(name, "skipped")
            run.emit(self._last(run, name, left.get(name)))
        return (
            end
            if end.code or not run.stop.is_set()
            else End("interrupted", INTERRUPTED, "the operator stopped the run")
        )

    def _send(self, run: Run, work: Callable[[G], Carried], given: Mapping[str, G], left: dict[str, Carried]) -> None:
        """Has errands done; tells what was told there, keeps copies of what stands, and how each host was left."""

        def heard(name: str, result: fleet.Result[Carried]) -> None:
            found = result.value
            if found is None:
                error = result.error or InputError("nothing came back", host=name)
                run.errors[name] = error
                tell_failed(run, name, error)
                return
            left[name] = found
            run.endings[name] = found.ending
            if found.error is not None:
                run.errors[name] = found.error
            host = run.hosts[name]
            stages = {stage.number: stage for stage in host.plan.stages}
            host.snapshots = [(stages[at], snapshot) for at, snapshot in found.snapshots]
            for stage, snapshot in host.snapshots:
                vault.save(name, host.writer.project_name, snapshot, [file.data_before for file in stage.files])
            for event in found.told:
                if not isinstance(event, events.HostEnded):  # how it ends, the whole batch says
                    run.emit(event)

        fleet.sent(self.executor, work, given, limit=run.options.forks, stopped=run.stop.is_set, ended=heard)

    def _last(self, run: Run, name: str, carried: Carried | None) -> events.HostEnded:
        """The event of how a host was left, with what its own last one says besides."""
        told = [event for event in carried.told if isinstance(event, events.HostEnded)] if carried else []
        if not told:
            return events.HostEnded(host=name, ending=run.endings[name], seconds=0.0)
        return replace(told[-1], ending=run.endings[name])


def worst(ends: Sequence[End]) -> End:
    """The end of a batch from those of its hosts: what did not end well before what was undone, that before what is paused."""
    order = (NOT_ROLLED_BACK, ROLLED_BACK)
    ends = [end for end in ends if end.code]
    return min(ends, key=lambda end: order.index(end.code) if end.code in order else len(order), default=GOES_ON)
