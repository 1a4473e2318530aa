"""Walks a phase over one host's stack: each step sees the stack after the one before. Pure.

A draft is what plans, proofs and questions are made from; stacks are kept in it, so it never leaves the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inventory.values import frozen
from runbooks import book
from runbooks.book import Phase, PhaseStep
from runbooks.compose.model import Stack
from runbooks.model import Change, Facts, Kept, Question


@frozen
class DraftStage:
    """Steps that stand together, with the stack before the first and after the last of them. Numbers count from 1."""

    number: int
    steps: tuple[tuple[PhaseStep, Change], ...]
    before: Stack
    after: Stack

    @property
    def created(self) -> dict[str, bytes]:
        """Files that its steps create."""
        return {path: data for _, change in self.steps for path, data in change.created.items()}

    @property
    def modes(self) -> dict[str, int]:
        """Permission bits that its steps ask for, by file."""
        return {path: mode for _, change in self.steps for path, mode in change.modes.items()}

    @property
    def changed(self) -> dict[str, bytes]:
        """The files that it changes or creates, with their new bytes."""
        old = self.before.files
        new = {path: data for path, data in self.after.files.items() if old.get(path) != data}
        return {**new, **self.created}


@frozen
class Draft:
    """A phase walked over one stack."""

    phase: Phase
    stages: tuple[DraftStage, ...]

    @property
    def changed(self) -> tuple[DraftStage, ...]:
        """The stages that write anything."""
        return tuple(stage for stage in self.stages if stage.changed)


def stages(steps: Sequence[PhaseStep]) -> Iterator[tuple[PhaseStep, ...]]:
    """A phase's steps cut into stages: neighbours with the same `together` are one."""
    group: list[PhaseStep] = []
    for step in steps:
        if group and (step.together is None or step.together != group[-1].together):
            yield tuple(group)
            group = []
        group.append(step)
    if group:
        yield tuple(group)


def walk(phase: Phase, stack: Stack, facts: Facts, variables: Mapping[str, Any]) -> Draft:
    """The changes of every step, in order. `variables` are the host's."""
    made = []
    for number, group in enumerate(stages(phase.steps), 1):
        before, done = stack, []
        for step in group:
            change = _change(step, stack, facts, variables)
            stack = change.stack
            done.append((step, change))
        made.append(DraftStage(number, tuple(done), before, stack))
    return Draft(phase, tuple(made))


def _change(step: PhaseStep, stack: Stack, facts: Facts, variables: Mapping[str, Any]) -> Change:
    if not book.applies(step, stack, facts):
        reason = f"its condition does not hold: when {step.when}"
        return Change(step=step.kind, risk=step.risk, stack=stack, kept=(Kept("", step.name, reason),))
    return book.STEPS[step.kind].change(stack, facts, book.settings(step, variables))


def questions(phase: Phase, stack: Stack, facts: Facts, variables: Mapping[str, Any]) -> tuple[Question, ...]:
    """What the steps still have to ask; those that have an answer are left out.

    At first all steps ask about the stack as it is, so that one exchange answers nearly everything; a step that asks
    about what an earlier one changes is heard when the walk is repeated with those answers.
    """
    if not facts.answers:
        asked = _asked(phase, [stack] * len(phase.steps), facts, variables)
        if asked:
            return asked
    seen: list[Stack] = []
    for step in phase.steps:
        seen.append(stack)
        stack = _change(step, stack, facts, variables).stack
    return _asked(phase, seen, facts, variables)


def _asked(phase: Phase, stacks: Sequence[Stack], facts: Facts, variables: Mapping[str, Any]) -> tuple[Question, ...]:
    found: dict[str, Question] = {}
    for step, stack in zip(phase.steps, stacks, strict=True):
        if book.applies(step, stack, facts):
            for question in book.STEPS[step.kind].asks(stack, facts, book.settings(step, variables)):
                found.setdefault(question.key, question)
    return tuple(question for key, question in found.items() if key not in facts.answers)


def alike(facts: Facts) -> Facts:
    """Facts without what differs between hosts that are otherwise the same: ids, times, addresses."""
    containers = {
        service: tuple(replace(each, id="", started_at="", addresses={}, labels={}, config_hash="") for each in members)
        for service, members in facts.containers.items()
    }
    answers = {key: replace(answer, seconds=0.0) for key, answer in facts.answers.items()}
    return replace(facts, containers=containers, answers=answers)
