"""Makes plans: what a phase, walked over what a survey found, comes to on each host. Pure.

Planning the same world twice gives the same plan with the same fingerprint, so a plan that was shown, reviewed and
kept is carried out by making it again: when the fingerprint differs, the world has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from inventory.engine import Compose
from inventory.hooks import Hook
from inventory.once import Once
from rollback.model import FileState
from runbooks import applying, ready, restarts, taken
from runbooks.book import Phase, PhaseStep
from runbooks.compose import graph, startup
from runbooks.compose.model import Stack
from runbooks.compose.patch import lines_before
from runbooks.draft import Draft, DraftStage
from runbooks.model import Change, Facts, runs
from runbooks.plan_model import (
    Baseline,
    HostPlan,
    Made,
    Plan,
    PlannedFile,
    Restart,
    Stage,
    StartupPlan,
    StepPlan,
    Trial,
)
from runbooks.steps import images

START_INTERVAL_SINCE = (25,)
NOTHING_TRIED = Trial({}, {}, {})
_ABSENT = FileState("", None)
_STARTUPS: Once[tuple[Stack, Stack, StartupPlan]] = Once()
"""By the identity of two stacks, which are kept beside the result for as long as it is."""
_STEPS: Once[tuple[tuple[PhaseStep, Change, Stack], StepPlan]] = Once()
"""By the identity of a step, its change and the stack before, likewise."""


def host_plan(
    host: str,
    draft: Draft,
    facts: Facts,
    compose: Compose,
    states: Mapping[str, FileState],
    *,
    tried: Trial = NOTHING_TRIED,
    found: Baseline | None = None,
    measured_s: Mapping[str, float] | None = None,
    hooks: tuple[Hook, ...] = (),
) -> HostPlan:
    """One host's plan. `states` are all files that were read or looked for; `measured_s` known start-up times."""
    first, last = draft.stages[0].before, draft.stages[-1].after
    now = dict(states)
    made = []
    earlier: frozenset[str] = frozenset()
    for drafted in draft.stages:
        made.append(_stage(drafted, first, facts, now, tried, earlier, measured_s or {}))
        now |= {file.path: _afterwards(file) for file in made[-1].files}
        earlier |= tried.renews.get(name(drafted), frozenset())
    every = [restart for stage in made for restart in stage.restarts]
    wrong = tuple(f"{stage}: {reason}" for stage, reason in tried.wrong.items())
    wrong += tuple(taken.lines(draft, states))
    base = found or Baseline((), ())
    return HostPlan(
        host=host,
        project_dir=compose.directory,
        compose=compose,
        stages=tuple(made),
        startup=_startup(first, last, facts, measured_s or {}),
        images={
            service: next(each.image_id for each in members if runs(each))
            for service, members in facts.containers.items()
            if any(map(runs, members))
        },
        warnings=(*base.warnings, *_unset(first), *restarts.stale_proxies(last, every)),
        blocked=(*base.blocking, *wrong),
        live=facts.live,
        hooks=hooks,
    )


def name(drafted: DraftStage) -> str:
    """What a stage's candidate is called while it is tried."""
    return f"stage{drafted.number}"


def _stage(drafted: DraftStage, first: Stack, facts: Facts, now: Mapping[str, FileState], tried: Trial, earlier: frozenset[str],
           measured_s: Mapping[str, float]) -> Stage:  # fmt: skip
    """A stage with its files, and the restarts that they cause. `earlier`: services that stages before it recreate."""
    held = {path for path, data in drafted.created.items() if now.get(path, _ABSENT).sha256 == sha256(data).hexdigest()}
    changed = {path: data for path, data in drafted.changed.items() if path not in held}
    files = tuple(
        _file(now.get(path, FileState(path, None)), drafted.before.files.get(path), data, drafted.modes.get(path))
        for path, data in sorted(changed.items())
    )
    found: tuple[Restart, ...] = ()
    later = drafted.steps[0][0].apply == applying.LATER
    if files and not later:
        told = tried.renews.get(name(drafted))
        also: frozenset[str] = frozenset()
        if told is not None:
            guess = restarts.predict(drafted.before, drafted.after, facts, measured_s=measured_s, changed_files=changed)
            predicted = frozenset(restart.service for restart in guess if not restart.created)
            # Compose renews dependents too when all are brought up at once; one at a time it does not.
            also = _roots(told - predicted - earlier, told, drafted.after)
        found = restarts.predict(
            drafted.before, drafted.after, facts, measured_s=measured_s, changed_files=changed, layers=tried.layers, also=also,
        )  # fmt: skip
    steps = tuple(_shared(step, change, first) for step, change in drafted.steps)
    return Stage(
        number=drafted.number,
        steps=_waiting(steps, files) if files and later else steps,
        gate=drafted.steps[0][0].gate,
        files=files,
        reads=tuple(state for path, state in sorted(now.items()) if path not in changed) if files else (),
        restarts=found,
        made=_made(drafted),
        order=graph.order(drafted.before) if found else (),
    )


def _waiting(steps: tuple[StepPlan, ...], files: Iterable[PlannedFile]) -> tuple[StepPlan, ...]:
    """The steps of a stage that brings nothing up: what containers do now says nothing about it."""
    written = applying.files_probe(
        (file.path, None if file.data is None else sha256(file.data).hexdigest()) for file in files
    )
    first, *rest = (replace(step, probes=(), before_undo=()) for step in steps)
    return (replace(first, probes=(written,), notes=(*first.notes, applying.NOTE)), *rest)


def _made(drafted: DraftStage) -> Made:
    """What a stage adds to the stack; brought up by the run, or by whoever does so later."""

    def added(section: str) -> tuple[str, ...]:
        old, new = (stack.value.get(section) or {} for stack in (drafted.before, drafted.after))
        return tuple(each for each, said in new.items() if each not in old and not (said or {}).get("external"))

    return Made(added("services"), added("volumes"), added("networks"))


def _roots(services: Iterable[str], renewed: frozenset[str], stack: Stack) -> frozenset[str]:
    """Those of `services` that no renewed service stands under."""
    return frozenset(each for each in services if not stack.services[each].edges.keys() & renewed)


def _shared(step: PhaseStep, change: Change, first: Stack) -> StepPlan:
    """A step as it is told, once for all hosts that have it from one draft."""
    of = (step, change, first)
    return _STEPS.get(tuple(map(id, of)), lambda: (of, _step(*of)))[1]


def _step(step: PhaseStep, change: Change, first: Stack) -> StepPlan:
    """A step as it is told. Its lines are those of the files as they are now, before any step: there people look."""

    now = {
        path: lines_before(first.files[path], change.stack.files[path])
        for path in {each.path for each in change.altered} & first.files.keys() & change.stack.files.keys()
    }
    altered = tuple(
        replace(each, line=now[each.path](each.line)) if each.path in now else each for each in change.altered
    )
    return StepPlan(
        step=step.name, kind=step.kind, risk=step.risk, altered=altered, kept=change.kept, refused=change.refused,
        notes=change.notes, probes=change.probes, before_undo=change.before_undo, images=change.images,
        abreast=change.abreast,
    )  # fmt: skip


def _file(before: FileState, old: bytes | None, new: bytes, mode: int | None) -> PlannedFile:
    """A planned file; one that nobody else can read already keeps its mode."""
    kept = mode is None or (before.sha256 is not None and not before.mode & ~mode)
    return PlannedFile(before, old, new, None if kept else mode)


def _afterwards(file: PlannedFile) -> FileState:
    digest = None if file.data is None else sha256(file.data).hexdigest()
    return replace(file.before, sha256=digest, mode=file.before.mode if file.mode is None else file.mode)


def _startup(before: Stack, after: Stack, facts: Facts, measured_s: Mapping[str, float]) -> StartupPlan:
    if facts.live or measured_s:
        return _predicted(before, after, facts, measured_s)
    # Hosts with the same files share their stacks, and what is predicted of them.
    made = _STARTUPS.get((id(before), id(after)), lambda: (before, after, _predicted(before, after, facts, measured_s)))
    return made[2]


def _predicted(before: Stack, after: Stack, facts: Facts, measured_s: Mapping[str, float]) -> StartupPlan:
    supported = not facts.live or facts.engine >= START_INTERVAL_SINCE

    def predicted(stack: Stack) -> startup.Startup:
        return startup.predict(
            stack, ready.ready_s(stack, measured_s), start_interval_supported=supported,
            checked_by_image=[each.name for each in stack.services.values() if images.image_has_check(each, facts)],
        )  # fmt: skip

    old, new = predicted(before), predicted(after)
    return StartupPlan(new.groups, new.critical_path, old.seconds, new.seconds, old.ups, new.ups)


def _unset(stack: Stack) -> tuple[str, ...]:
    """Variables that the files use and nothing sets: Compose only warns, and puts nothing there."""
    return tuple(
        f"variable {variable} is not set ({place.path}:{place.line}): it is empty" for variable, place in stack.warnings
    )


def make(phase: Phase, environment: str, hosts: Iterable[HostPlan]) -> Plan:
    """The plan of all hosts, with its fingerprint and promotion key."""
    every = tuple(hosts)
    steps = tuple(step.name for step in phase.steps)
    return Plan(
        phase=phase.number,
        environment=environment,
        steps=steps,
        hosts=every,
        fingerprint=_digest([phase.number, environment, [fingerprint(host) for host in every]]),
        promotion_key=_digest([phase.number, steps, sorted({(a.service, a.what) for a in _altered(every)})]),
    )


def _altered(hosts: Iterable[HostPlan]) -> Iterable[Any]:
    return (each for host in hosts for stage in host.stages for step in stage.steps for each in step.altered)


def fingerprint(host: HostPlan) -> str:
    """What a host's plan does, in one digest: every byte that is written, what restarts, what is watched."""
    stages = [
        [
            stage.number,
            [(file.path, file.before.sha256, sha256(file.data or b"").hexdigest()) for file in stage.files],
            [(restart.service, restart.created, restart.scale) for restart in stage.restarts],
            [(probe.kind, probe.name, probe.service) for probe in stage.probes],
            repr(stage.gate),
            *([[image.name for image in stage.images]] if stage.images else []),
            *(
                [sorted((file.path, file.mode) for file in stage.files if file.mode)]
                if any(file.mode for file in stage.files)
                else []
            ),
        ]
        for stage in host.stages
        if stage.files
    ]
    # A plan without hooks has the fingerprint that it had before there were any.
    around = [repr((hook, hook.command)) for hook in host.hooks if stages]
    return _digest([host.host, host.project_dir, host.compose.argv(), stages, *([around] if around else [])])


def _digest(value: object) -> str:
    return sha256(json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=str).encode()).hexdigest()
