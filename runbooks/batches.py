"""Batches of hosts: the first is a real canary, the last takes the rest. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import ceil
from typing import TypeVar

from inventory.errors import InputError

T = TypeVar("T")
DEFAULT = ("1", "25%", "100%")
SIZE = re.compile(r"([1-9][0-9]*)(%?)")


def sizes(serial: str | int | Sequence[str | int] | None) -> tuple[str, ...]:
    """The sizes in `serial` (`1`, `25%`, `1,25%,100%` or a list of such), as Ansible writes them. Raises InputError."""
    if serial is None:
        return DEFAULT
    words = serial if isinstance(serial, (list, tuple)) else str(serial).split(",")
    found = tuple(str(word).strip() for word in words)
    for word in found:
        match = SIZE.fullmatch(word)
        if not match or (match[2] and int(match[1]) > 100):
            raise InputError(
                f"serial: {word!r} is not a batch size", mend="write a number from 1, or 1% to 100%, such as 1,25%,100%"
            )
    return found


def split(hosts: Sequence[T], serial: Sequence[str], most: int | None = None) -> tuple[tuple[T, ...], ...]:
    """`hosts` in their order, cut into batches; the last size is repeated until no host is left.

    A percentage is of all hosts and at least one host. A batch larger than `most` is several: a gate watches all hosts
    of a batch, and each of them has to be connected meanwhile.
    """
    batches: list[tuple[T, ...]] = []
    start = 0
    while start < len(hosts):
        word = serial[min(len(batches), len(serial) - 1)]
        size = ceil(len(hosts) * int(word[:-1]) / 100) if word.endswith("%") else int(word)
        batches.append(tuple(hosts[start : start + size]))
        start += size
    return tuple(
        batch[at : at + (most or len(batch))] for batch in batches for at in range(0, len(batch), most or len(batch))
    )


def check_abreast(order: Iterable[Sequence[str]], parts: Iterable[tuple[str, str]]) -> None:
    """Refuses batches that part hosts which must begin together: (host, what they make together). Raises InputError."""
    number = {host: batch for batch, hosts in enumerate(order) for host in hosts}
    found: dict[str, list[str]] = {}
    for host, what in parts:
        if host in number:
            found.setdefault(what, []).append(host)
    for what, hosts in found.items():
        if len({number[host] for host in hosts}) > 1:
            raise InputError(
                f"{', '.join(hosts)} must begin together ({what}), and are in different batches",
                key="--serial", mend="put them into one, such as --serial 100%",
            )  # fmt: skip
