"""Answers about a stack are found once: a stack never changes, and each step asks the same of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from runbooks.compose.model import Stack

T = TypeVar("T")


def remembered(answer: Callable[[Stack], T]) -> Callable[[Stack], T]:
    """A function of a stack alone whose answer nobody changes. What it raises is not kept."""
    name = f"{answer.__module__}.{answer.__qualname__}"

    @wraps(answer)
    def found(stack: Stack) -> T:
        known = stack.known
        if name not in known:
            known[name] = answer(stack)
        return cast("T", known[name])

    return found
