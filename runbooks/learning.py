"""What a stack and its containers teach the Mask: everything in them that is a secret, or looks like one. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from inventory.errors import InputError
from inventory.once import Once
from inventory.secrets import NAMES, Mask
from runbooks import secret_text
from runbooks.compose import environment
from runbooks.compose.model import Stack
from runbooks.model import Facts

_NAME = re.compile(r"(?i)(?:^|_)(?:user|username|db|database|dbname|name|host|hostname)$")

_STACKS: Once[tuple[Stack, Mask]] = Once()
"""What a stack teaches, by the identity of the stack, which is kept beside it: hosts with the same files share theirs."""


def learn(mask: Mask, stack: Stack, facts: Facts) -> None:
    """Teaches the mask every secret of a stack and its containers: variables, URLs, options of commands, and what the
    files' text besides says is one."""
    mask.take(_STACKS.get(id(stack), lambda: (stack, of_stack(stack)))[1].known())
    for members in facts.containers.values():
        for each in members:
            for name, value in each.environment.items():
                resolved(mask, name, value)


def of_stack(stack: Stack) -> Mask:
    """A mask that knows what a stack teaches, and nothing else."""
    mask = Mask()
    mask.reveal(names(stack))
    for name, value in stack.spec.environment.items():
        mask.learn(name, value)
    for path, data in stack.files.items():
        text = data.decode("utf-8", "replace")
        for name, value in secret_text.given(text):
            mask.learn(name, value)
        for secret in secret_text.bare(text):
            mask.add(secret)
        if posixpath.basename(path).startswith(".env") or path.endswith(".env"):
            bound: dict[str, environment.Bound] = {}
            try:
                environment.read(data, path, {}, bound)
            except InputError:
                continue
            for name, given in bound.items():
                resolved(mask, name, given.value)
    for service in stack.services.values():
        for variable in service.environment.values():
            resolved(mask, variable.name, variable.value or "")
        for key in ("command", "entrypoint"):
            words = service.value.get(key)
            if not words:
                continue
            for secret in secret_text.bare(" ".join(map(str, words)) if isinstance(words, list) else str(words)):
                mask.add(secret)
    return mask


def resolved(mask: Mask, name: str, value: str) -> None:
    """Learns a value as a container gets it: a `${` in it refers to nothing, and belongs to the secret."""
    if "${" in value and NAMES.search(name):
        mask.add(value)
    mask.learn(name, value)


def names(stack: Stack) -> Iterator[str]:
    """What a stack calls its things: services, images, users, databases, hosts. None of that is secret."""
    for service in stack.services.values():
        yield service.name
        yield from re.split(r"[/:@]", service.image or "")
        for variable in service.environment.values():
            if _NAME.search(variable.name) and variable.value:
                yield variable.value
