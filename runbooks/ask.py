"""Asks a host's containers all questions of a plan in one exchange, several at a time."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from inventory.errors import HostFailed
from inventory.link import Link
from inventory.replies import count
from runbooks.compose.model import Stack
from runbooks.model import HOST, Answer, Container, Facts, Question
from runbooks.programs import Part, answers, program

LANES = 8
"""Questions at once on one host: a `docker exec` costs it about 0.1 s of processor time."""
OUTPUT_LIMIT = 16384
"""Bytes of one answer; what a program says beyond that is dropped."""
SLACK_S = 30.0
_NAME = re.compile(r"(?!(?:PATH|IFS|HOME|TMPDIR|LD_.*|DOCKER_.*)\Z)[A-Z_][A-Z0-9_]*\Z")
_NOT_RUN = re.compile(r"OCI runtime exec failed|Error response from daemon|Error: No such container|unable to upgrade")


def ask(link: Link, stack: Stack, facts: Facts, questions: Iterable[Question]) -> Facts:
    """The facts with an answer to each question; those that have one already are not asked again.

    A service without a running container gives an answer without an exit code. Raises Unreachable, HostFailed.
    """
    chosen = {question.key: question for question in questions if question.key not in facts.answers}
    if not chosen:
        return facts
    where = {key: target(facts, question.service) for key, question in chosen.items()}
    found = {
        key: Answer(None, no_container(stack, question.service), 0.0)
        for key, question in chosen.items()
        if where[key] is None and question.service != HOST
    }
    asked = [(question, where[key]) for key, question in chosen.items() if key not in found]
    found |= _exchange(link, asked)
    return replace(facts, answers={**facts.answers, **found})


def no_container(stack: Stack, service: str) -> str:
    """Why a service cannot be asked."""
    return f"service {service} has no running container" if service in stack.services else f"no service {service}"


def target(facts: Facts, service: str) -> Container | None:
    """The container of a service that questions go to: the first one that runs."""
    members = facts.containers.get(service, ())
    return next((each for each in members if each.state == "running" and not each.one_off), None)


def _exchange(link: Link, asked: Sequence[tuple[Question, Container | None]]) -> dict[str, Answer]:
    if not asked:
        return {}
    lanes = min(LANES, len(asked))
    longest = max(sum(question.timeout_s for question, _ in asked[lane::lanes]) for lane in range(lanes))
    data = "".join(line(question, container) for question, container in asked).encode()
    limit = len(asked) * (OUTPUT_LIMIT + 256) + 65536
    reply = link.run(
        program("ask"), str(lanes), str(OUTPUT_LIMIT), data=data, timeout_s=longest + SLACK_S,
        become=link.host.become, limit=limit,
    )  # fmt: skip
    if reply.exit != 0:
        raise HostFailed(
            f"its containers could not be asked: {reply.complaint}",
            host=link.host.name, mend="see that docker, timeout and base64 work there",
        )  # fmt: skip
    parts = answers(reply.out, link.host.name).parts
    return {question.key: answer(question, parts.get(str(number))) for number, (question, _) in enumerate(asked)}


def line(question: Question, container: Container | None) -> str:
    """A question as the program reads it. Raises ValueError for a variable's name that the program could trip over."""
    words = [f"{question.timeout_s:g}", _word(container.id if container else ""), str(len(question.environment))]
    for name, value in question.environment.items():
        if not _NAME.match(name):
            raise ValueError(f"{name} cannot be a variable of a question")
        words += [_word(name), _word(value)]
    return " ".join([*words, *(_word(word) for word in question.argv)]) + "\n"


def _word(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode() or "-"


def answer(question: Question, part: Part | None) -> Answer:
    """What a question's record says. No exit code: the program was not run, or did not end in time."""
    if part is None:
        return Answer(None, "no answer", 0.0)
    took, _, output = part.out.partition(b"\n")
    seconds = (count(took.decode("ascii", "replace")) or 0) / 1000
    text = output.decode("utf-8", "replace")
    if part.exit == 137 and seconds >= question.timeout_s - 0.05:
        return Answer(None, f"no end within {question.timeout_s:g} s", seconds)
    if part.exit in (1, 125, 126, 127) and _NOT_RUN.match(text):
        return Answer(None, text.strip(), seconds)
    return Answer(part.exit, text, seconds)
