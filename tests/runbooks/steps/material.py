"""What the tests of the steps share: stacks from text, and facts as a live host would give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from runbooks import book, draft
from runbooks.compose import project
from runbooks.compose.model import ProjectSpec, Stack
from runbooks.model import Answer, Change, Container, Facts, Image, Question

ROOT = "/srv/app"
COMPOSE = f"{ROOT}/compose.yml"
NEW, OLD = ((28, 0, 1), (2, 29, 7)), ((24, 0, 9), (2, 20, 0))
"""(engine, Compose) with `start_interval`, and without."""


def stack_of(text: str, *, profiles: tuple[str, ...] = (), **files: str) -> Stack:
    """A stack from one Compose file; `env` is the project's `.env`."""
    data = {COMPOSE: text.encode()} | {f"{ROOT}/.{name}": content.encode() for name, content in files.items()}
    return project.load(ProjectSpec(ROOT, "app", ("compose.yml",), profiles=profiles), data, frozenset())


def services(**given: str) -> Stack:
    """A stack from the body of each service, in YAML's flow form: `web="image: nginx, restart: always"`."""
    return stack_of("services:\n" + "".join(f"  {name}: {{{body}}}\n" for name, body in given.items()))


def container(service: str, state: str = "running", health: Any = None, *, exit_code: int = 0, number: int = 1) -> Container:  # fmt: skip
    return Container(
        id=f"id-{service}-{number}", name=f"app-{service}-{number}", service=service, number=number, one_off=False,
        image="", image_id=f"sha256:{service}", config_hash="", project="app", state=state, exit_code=exit_code,
        health=health, restarts=0, started_at="2026-01-01T00:00:00Z", environment={}, labels={}, addresses={},
    )  # fmt: skip


def live(
    stack: Stack,
    *containers: Container,
    answers: Mapping[str, Answer] | None = None,
    images: Mapping[str, Image] | None = None,
    versions: tuple[tuple[int, ...], tuple[int, ...]] = NEW,
) -> Facts:
    """A live host on which every service runs, healthy where it has a check; `containers` stand in place of those."""
    found: dict[str, tuple[Container, ...]] = {name: (container(name, health="healthy" if each.health_check else None),) for name, each in stack.services.items()}  # fmt: skip
    for name in {each.service for each in containers}:
        found[name] = tuple(each for each in containers if each.service == name)
    return Facts(
        live=True, engine=versions[0], compose=versions[1], cpus=4, memory=8 << 30,
        containers={name: members for name, members in found.items() if members}, images=images or {},
        answers=answers or {},
    )  # fmt: skip


def answered(questions: Iterable[Question], ask: Callable[[Question], int | str | None]) -> dict[str, Answer]:
    """Each question's answer by its key: an exit code, or the output of what ended with 0."""
    found = {}
    for question in questions:
        said = ask(question)
        found[question.key] = Answer(0, said, 0.1) if isinstance(said, str) else Answer(said, "", 0.1)
    return found


def answering(phase: book.Phase, stack: Stack, facts: Facts) -> tuple[Facts, int]:
    """The facts after every question of a phase was answered well, and in how many exchanges."""
    rounds = 0
    while asked := draft.questions(phase, stack, facts, {}):
        rounds += 1
        assert rounds < 5
        said = answered(asked, lambda each: 1 if each.key.endswith("/wrong") else "100" if "max_connections" in each.key else "1")  # fmt: skip
        facts = replace(facts, answers={**facts.answers, **said})
    return facts, rounds


def settings(kind: str, **given: Any) -> dict[str, Any]:
    """A step's defaults, and over them what a test sets."""
    return {name: default for name, (_, default, _) in book.STEPS[kind].SETTINGS.items()} | given


def change(kind: str, stack: Stack, facts: Facts, **given: Any) -> Change:
    return book.STEPS[kind].change(stack, facts, settings(kind, **given))


def asks(kind: str, stack: Stack, facts: Facts, **given: Any) -> tuple[Question, ...]:
    return book.STEPS[kind].asks(stack, facts, settings(kind, **given))


def text_of(stack: Stack) -> str:
    """The Compose file's text."""
    return stack.files[COMPOSE].decode()


def reasons(made: Change) -> dict[tuple[str, str], str]:
    """Why things were kept: (service, what) -> reason."""
    return {(kept.service, kept.what): kept.reason for kept in made.kept}
