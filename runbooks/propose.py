"""Makes the plan of live hosts: survey, ask, walk, try. Changes nothing on a host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from inventory import fleet, hooks
from inventory.errors import RunbookError
from inventory.link import Link, Reply
from inventory.model import Host
from inventory.once import Once
from inventory.secrets import Mask
from rollback.model import FileState
from runbooks import applying, draft, ground, plan, preflight, requires
from runbooks.ahead import Ahead
from runbooks.ask import ask
from runbooks.baseline import baseline
from runbooks.book import Phase
from runbooks.draft import Draft
from runbooks.events import HostSurveyed, Sink
from runbooks.model import Facts
from runbooks.plan_model import Baseline, HostPlan, Plan
from runbooks.session import Session
from runbooks.survey import Survey, states_of, survey
from runbooks.trial import trial

_DRAFTS: Once[Draft] = Once()
Opening = Callable[[str, Link], Link]
ROUNDS = 4
"""Exchanges of questions at most: a step may ask about what an earlier one changes, and phases are short."""


def live(session: Session, phase: Phase, emit: Sink, opening: Opening | None = None, accepted: str = "medium") -> Plan:
    """The plan of every host of the session that can be planned; the others drop out of it with why.

    `opening` gives the link on which a host is first read. `accepted`: the highest risk that is taken without a word.
    """

    def one(name: str) -> HostPlan:
        link = session.links[name]
        first = opening(name, link) if opening else link
        writer = session.writer(name)
        return of_host(link, session.host(name), phase, session.mask, emit, first, lambda: writer.state_dir, accepted)

    results = fleet.each(session.links, one, limit=session.forks)
    session.drop({name: result.error for name, result in results.items() if result.error})
    return plan.make(phase, session.inventory.environment, [each.value for each in results.values() if each.value])


def of_host(link: Link, host: Host, phase: Phase, mask: Mask, emit: Sink, first: Link | None = None,
            state: Callable[[], str] = lambda: "/var/lib", accepted: str = "medium") -> HostPlan:  # fmt: skip
    """One host's plan. Raises RunbookError with the host's name where it cannot be made.

    `state` says where its snapshots are kept.
    """
    engine = applying.asks_engine(phase.steps)
    try:
        found = survey(first or link, host, mask, engine=engine)
        asked = link if engine else None
        unmet = tuple(requires.unmet(phase, lambda required: walked(asked, required, found, host)[0]))
        made, facts = walked(asked, phase, found, host)
        states = {**found.states, **created(link, host, made, found)}
        candidates = {plan.name(stage): stage.after for stage in made.changed}
        tried, wants, heard = plan.NOTHING_TRIED, preflight.wanted(host.variables), list[Reply]()
        if candidates and engine:
            paths = [path for stage in made.changed for path in stage.changed]
            call = ground.call(host.project.directory, state(), paths, wants.backups, become=host.become)

            def hear(replies: Sequence[Reply]) -> bool:
                heard.extend(replies)
                return True

            beside = Ahead(link, [call], hear)
            tried = trial(beside, found.compose, found.stack, candidates, facts)  # type: ignore[arg-type]
    except RunbookError as error:
        error.host = error.host or host.name
        raise
    base = baseline(found) if engine else Baseline((), ())
    planned = plan.host_plan(
        host.name,
        made,
        facts,
        found.compose,
        states,
        tried=tried,
        found=replace(base, blocking=(*unmet, *base.blocking)),
        measured_s=found.ready_s,
        hooks=hooks.parse(host.variables.get("hooks") or {}),
    )
    if heard:
        planned = flown(planned, ground.read(heard[0], host.name), wants, accepted)
    emit(HostSurveyed(
        host=host.name, project=found.compose.name, services=len(found.stack.services),
        files=tuple(file.path for file in planned.files), restarts=tuple(each.service for each in planned.restarts),
        seconds=found.seconds, exchanges=found.exchanges,
    ))  # fmt: skip
    return planned


def flown(planned: HostPlan, there: ground.Ground, wants: preflight.Wanted, accepted: str) -> HostPlan:
    """A host's plan with what on the host speaks against it."""
    blocked, warnings = preflight.found(planned, there, wants, accepted)
    return replace(
        planned, blocked=(*planned.blocked, *blocked), warnings=(*planned.warnings, *warnings), grounded=True
    )


def walked(link: Link | None, phase: Phase, found: Survey, host: Host) -> tuple[Draft, Facts]:
    """A phase walked over a host's stack, with the facts after all its questions (none without a link). Raises RunbookError."""
    facts = found.facts
    for _ in range(ROUNDS):
        missing = draft.questions(phase, found.stack, facts, host.variables) if link else ()
        if not missing or link is None:
            break
        facts = ask(link, found.stack, facts, missing)
    if link is not None:
        return draft.walk(phase, found.stack, facts, host.variables), facts
    # Without facts the draft is a matter of the stack, which hosts with the same files share, and of a few variables.
    own = {name: value for name, value in host.variables.items() if not name.startswith("ansible_")}
    key = (
        repr(phase),
        repr(found.stack.spec),
        tuple(sorted(found.stack.files.items())),
        repr(sorted(own.items(), key=str)),
    )
    return _DRAFTS.get(key, lambda: draft.walk(phase, found.stack, facts, host.variables)), facts


def created(link: Link, host: Host, made: Draft, found: Survey) -> Mapping[str, FileState]:
    """What stands now where the draft would create files; asked only where it would create any."""
    paths = [path for stage in made.stages for path in stage.created if path not in found.states]
    return states_of(link, host, paths) if paths else {}
