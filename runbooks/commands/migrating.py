"""`migrate`: plans, checks the baseline, asks, and carries the plan out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

from checks.evidence import Store
from inventory import receivers
from inventory.errors import InputError, Refused, RunbookError
from inventory.values import frozen
from runbooks import batches, events, heeding, interrupt, plan_json, propose, run_model, runner, screen, session
from runbooks import plan as plans
from runbooks.book import Phase
from runbooks.commands import options, standing
from runbooks.commands.choice import Choice
from runbooks.commands.codes import exit_code
from runbooks.hostrun import HostRun, Left
from runbooks.mending import mending
from runbooks.notifier import telling
from runbooks.output import Output
from runbooks.plan_model import Plan
from runbooks.screen_live import Shown
from runbooks.screen_run import Collector, Recorder, some
from runbooks.session import Session


@frozen
class How:
    """How to carry out what was chosen. `check`: show it only. `accept_risk`: the highest risk to run without a word."""

    serial: str = ""
    check: bool = False
    diff: bool = False
    accept_risk: str = "medium"
    kept_plan: str = ""
    resume: bool = False
    override: str = ""
    forks: str = ""
    accept_drift: bool = False
    executor: str = ""


def migrate(out: Output, choice: Choice, how: How) -> int:
    """Carries a phase out on an environment and returns the exit code (DESIGN, "The command line")."""
    wanted: dict[str, Any] | None = None
    if how.kept_plan:
        from runbooks.commands import planning

        kept, wanted = planning.read(Path(how.kept_plan))
        choice = replace(kept, inventory=choice.inventory)
    if not choice.environment:
        raise InputError("names no environment", key="--env", mend="add --env staging")
    if how.accept_risk not in screen.RISKS:
        raise InputError(f"{how.accept_risk!r} is no risk", key="--accept-risk", mend="write low, medium or high")
    if how.serial:
        batches.sizes(how.serial)
    lost: tuple[str, ...] = ()
    if how.resume:
        if how.executor not in ("", "threads"):
            raise InputError(
                "goes on from the controller alone", key="--resume, --executor", mend="leave --executor out"
            )
        from runbooks.commands import resuming

        choice, lost = resuming.chosen(choice)
    phase = choice.read()
    collector, stop = Collector(), Flag()
    with ExitStack() as held:
        executor = elsewhere(held, how)
        opened = held.enter_context(session.opened(
            choice.environment, choice.inventory, choice.limit, out.mask, forks=options.forks(how.forks),
            at_once=executor is None, phase=phase,
        ))  # fmt: skip
        away = None
        if executor is not None:
            from runbooks.commands.away import Away

            away = Away(executor, opened)
        shown = Shown(out, opened.inventory.hosts)
        emit = events.fan_out(collector, shown)
        needs_soak(opened)
        within_windows(opened, how, emit)
        if lost and not how.check and (half := resuming.found(opened, lost, emit)).hosts:
            out.show(*(f"{name}  {left.why}" for name, left in half.hosts.items()))
            out.confirm(f"do that on {', '.join(half.hosts)}?")
            code = carried_out(
                out, opened, half.plan(phase, choice.environment), how, (collector, shown), stop, half.hosts
            )
            if code or stop.is_set():
                return ended(out, collector, code)
            opened.renew()
        with shown.redrawn(list(opened.links), f"reading {choice.environment}"):
            plan, differing = (away or Here(opened)).live(
                phase, emit, accepted=how.accept_risk, accept_drift=how.accept_drift, mends=not how.check
            )
        if wanted is not None:
            same_as(wanted, plan)
        out.show(*screen.plan_view(plan, out.mask, diff=how.diff), *differing)
        promoted(out, opened, plan, how)
        if how.check:
            for error in opened.errors.values():
                out.error(error)
            out.document({"run": None, "outcome": "checked", **plan_json.to_json(plan, out.mask)})
            return exit_code(opened.errors, list(opened.links))
        plan = standing.allowed(opened, plan, how.accept_risk)
        if plan.changed:
            services = {restart.service for host in plan.hosts for restart in host.restarts}
            hosts = [host.host for host in plan.hosts if host.changed]
            out.confirm(f"carry this out on {some(hosts)}, restarting {len(services)} service(s) on each?")
        with shown.redrawn():
            code = carried_out(out, opened, plan, how, (collector, shown), stop, work=away.work_on if away else None)
        if any(ending in ("changed", "stands", "paused") for ending in collector.endings.values()):
            watched_from_now_on(out, opened, choice.inventory, code)
        return ended(out, collector, code)


@frozen
class Here:
    """The session's hosts planned by threads of this process."""

    session: Session

    def live(self, phase: Phase, emit: events.Sink, *, accepted: str, accept_drift: bool, mends: bool
             ) -> tuple[Plan, tuple[str, ...]]:  # fmt: skip
        """As `away.Away.live`."""
        plan = propose.live(self.session, phase, emit, mending(self.session, emit) if mends else None, accepted)
        return standing.looked(self.session, plan, accept_drift=accept_drift)


def elsewhere(held: ExitStack, how: How) -> Executor | None:
    """The executor that the hosts' work is sent to, until `held` ends; None where it is done here. Raises InputError."""
    if not how.executor:
        return None
    from inventory import executors

    return held.enter_context(executors.executor(how.executor))


def carried_out(out: Output, opened: Session, plan: Plan, how: How, sinks: Sequence[events.Sink], stop: Flag,
                left: Mapping[str, Left] | None = None, work: runner.Work | None = None) -> int:  # fmt: skip
    """Carries a plan out, told to `sinks`, to receivers, and to the store. Returns the exit code."""
    store = Store()
    try:
        with telling(receivers.of(opened.inventory.hosts), out.mask, out.warn) as news:
            emit = events.fan_out(*sinks, Recorder(store, out.mask, warn=out.warn), news)
            # Until here nothing is written, so that Ctrl-C may simply end the program.
            first = (
                "hosts in progress are carried to their end first" if work else "the step in progress is undone first"
            )
            with interrupt.heeded(stop, out.warn, first):
                return runner.migrate(run_of(opened, plan, how, emit, stop, left or {}, prepared=work is None), work)
    finally:
        store.close()


def ended(out: Output, collector: Collector, code: int) -> int:
    """The document of `--json`, and the exit code."""
    if out.as_json:
        out.raw(collector.document(out.mask) + "\n")
    return code


def within_windows(opened: Session, how: How, emit: events.Sink) -> None:
    """Drops the hosts that may not be changed now, each with when it may. Raises Refused when none is left.

    With `--check` nothing is changed, and with `--override` for a reason: then it is only said.
    """
    at = heeding.now()
    refused = {name: error for name in opened.links if (error := heeding.closed(opened.host(name), at))}
    if how.check or how.override:
        for name, error in refused.items():
            emit(events.Noted(host=name, text=error.message, attention=True))
        return
    if refused and len(refused) == len(opened.links) and not opened.errors:
        raise heeding.none_left(list(refused.values()))
    opened.drop(refused)


def warn_of_windows(opened: Session, plan: Plan, sizes: Sequence[str], emit: events.Sink) -> None:
    """Says which hosts' windows are expected to close too early."""
    order = batches.split([host.host for host in plan.hosts], sizes)
    for name, wait_s in heeding.waits(plan, order).items():
        text = heeding.too_long(opened.host(name), plan.host(name), wait_s, heeding.now())
        if text and plan.host(name).changed:
            emit(events.Noted(host=name, text=text, attention=True))


def needs_soak(opened: Session) -> bool:
    """Whether a soak must have passed elsewhere. Raises InputError where what the inventory says of it cannot be."""
    if not any(host.variables.get("requires_soak") for host in opened.inventory.hosts):
        return False
    # What only soaks need is not imported for those who have none.
    from runbooks import promotion

    return promotion.required(opened.inventory) is not None


def promoted(out: Output, opened: Session, plan: Plan, how: How) -> None:
    """Sees to it that the required soak has passed. Raises Refused where it has not.

    With `--check` nothing is changed, and with `--override` for a reason: then it is only said.
    """
    if not needs_soak(opened):
        return
    from runbooks import promotion

    store = Store()
    try:
        refusal = promotion.refusal(store, opened.inventory, plan)
    finally:
        store.close()
    if refusal is None:
        return
    if not how.check and not how.override:
        raise refusal
    out.warn(f"{'would be refused' if not how.override else 'passed over'}: {refusal}")


def watched_from_now_on(out: Output, opened: Session, folder: Path | None, code: int) -> None:
    """Ends the environment's soaks, as other things run there now, and begins the next where the inventory has one.

    What goes wrong here is said, and takes nothing from the run.
    """
    environment = opened.inventory.environment
    begins = any(host.variables.get(name) for host in opened.inventory.hosts for name in ("soak", "requires_soak"))
    store = Store()
    try:
        if not begins and not store.watched(environment):
            return
        # What only soaks need is not imported for those who have none.
        from runbooks import promotion, screen_soak, soak_news, soaking
        from runbooks.commands import soak_starting

        soak_news.end_all(store, environment, f"run {opened.run} changed {environment}", out.mask, out.warn)
        if code == 0 and promotion.watches(opened.inventory):
            begun = soak_starting.begin(store, opened, promotion.length(opened.inventory), folder)
            if begun:
                out.show(*screen_soak.begun(soaking.assessed(store, begun.soak)))
    except RunbookError as error:
        out.warn(f"the run is done, but no soak was begun after it: {error}")
    finally:
        store.close()


def same_as(wanted: Mapping[str, Any], plan: Plan) -> None:
    """Raises Refused when the plan made now is not the one that was kept."""
    if plan.fingerprint == wanted["fingerprint"]:
        return
    before = {str(host["host"]): host.get("fingerprint") for host in wanted.get("hosts", ())}
    now = {host.host: plans.fingerprint(host) for host in plan.hosts}
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    where = ", ".join(changed) or "the phase"
    raise Refused(
        f"the world has changed since the plan was made: {where}", key="--plan", mend="plan again, and review that"
    )


def run_of(opened: Session, plan: Plan, how: How, emit: events.Sink, stop: Flag,
           left: Mapping[str, Left], *, prepared: bool = True) -> run_model.Run:  # fmt: skip
    """The run with its hosts, their writers, and the inventory's settings. `prepared`: the hosts are made ready here."""
    variables = next((host.variables for host in opened.inventory.hosts), {})
    serial = how.serial or variables.get("serial") or run_model.Options.serial
    percentage = variables.get("max_fail_percentage")
    settings = run_model.Options(
        batches.sizes(serial),
        None if percentage is None else float(percentage),
        variables.get("gate") or {},
        how.override,
        opened.forks,
    )
    hosts = {
        host.host: HostRun(
            opened.links[host.host], opened.writer(host.host), host, emit, stop.is_set, left=left.get(host.host)
        )
        for host in plan.hosts
    }
    for host in hosts.values():
        if prepared and host.plan.changed and not host.writer.prepared:
            host.writer.prepare()
    warn_of_windows(opened, plan, settings.serial, emit)
    return run_model.Run(
        opened.run, opened.who, plan, hosts, settings, emit, stop, errors=dict(opened.errors),
        closed=lambda name: None if how.override else heeding.closed(opened.host(name), heeding.now()),
        secrets={hook: hook.resolved(opened.mask) for host in plan.hosts if host.changed for hook in host.hooks},
    )  # fmt: skip
