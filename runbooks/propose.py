"""Makes the plan of live hosts: survey, ask, walk, try. Changes nothing on a host."""

from __future__ import annotations

from inventory import fleet, hooks
from inventory.engine import Compose
from inventory.errors import RunbookError
from inventory.link import Link
from inventory.model import Host
from inventory.secrets import Mask
from rollback.commit import sha256
from rollback.model import FileState
from runbooks import applying, draft, plan
from runbooks.ask import ask
from runbooks.baseline import baseline
from runbooks.book import Phase
from runbooks.compose.model import Stack
from runbooks.events import HostSurveyed, Sink
from runbooks.model import NO_FACTS
from runbooks.plan_model import HostPlan, Plan
from runbooks.session import Session
from runbooks.survey import survey
from runbooks.survey_checks import learn
from runbooks.trial import trial

LOCAL = "files"
"""What stands for host and environment where local files are planned."""
ROUNDS = 4
"""Exchanges of questions at most: a step may ask about what an earlier one changes, and phases are short."""


def live(session: Session, phase: Phase, emit: Sink) -> Plan:
    """The plan of every host of the session that can be planned; the others drop out of it with why."""
    results = fleet.each(
        session.links,
        lambda name: of_host(session.links[name], session.host(name), phase, session.mask, emit),
        limit=session.forks,
    )
    session.drop({name: result.error for name, result in results.items() if result.error})
    return plan.make(phase, session.inventory.environment, [each.value for each in results.values() if each.value])


def of_host(link: Link, host: Host, phase: Phase, mask: Mask, emit: Sink) -> HostPlan:
    """One host's plan. Raises RunbookError with the host's name where it cannot be made."""
    engine = applying.asks_engine(phase.steps)
    try:
        found = survey(link, host, mask, engine=engine)
        facts = found.facts
        for _ in range(ROUNDS if engine else 0):
            missing = draft.questions(phase, found.stack, facts, host.variables)
            if not missing:
                break
            facts = ask(link, found.stack, facts, missing)
        made = draft.walk(phase, found.stack, facts, host.variables)
        candidates = {plan.name(stage): stage.after for stage in made.changed}
        tried = (
            trial(link, found.compose, found.stack, candidates, facts) if candidates and engine else plan.NOTHING_TRIED
        )
    except RunbookError as error:
        error.host = error.host or host.name
        raise
    planned = plan.host_plan(
        host.name,
        made,
        facts,
        found.compose,
        found.states,
        tried=tried,
        found=baseline(found) if engine else None,
        measured_s=found.ready_s,
        hooks=hooks.parse(host.variables.get("hooks") or {}),
    )
    emit(HostSurveyed(
        host=host.name, project=found.compose.name, services=len(found.stack.services),
        files=tuple(file.path for file in planned.files), restarts=tuple(each.service for each in planned.restarts),
        seconds=found.seconds, exchanges=found.exchanges,
    ))  # fmt: skip
    return planned


def offline(stack: Stack, phase: Phase, mask: Mask) -> Plan:
    """The plan of local files, without a host: what would have been proven there is unproven."""
    learn(mask, stack, NO_FACTS)
    made = draft.walk(phase, stack, NO_FACTS, {})
    states = {path: FileState(path, sha256(data)) for path, data in stack.files.items()}
    spec = stack.spec
    compose = Compose(spec.directory, spec.name, spec.compose_files, (), spec.profiles)
    return plan.make(phase, LOCAL, [plan.host_plan(LOCAL, made, NO_FACTS, compose, states)])
