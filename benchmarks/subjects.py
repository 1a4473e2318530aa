"""What `./inv bench` can measure, and how its options are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from inventory.durations import duration
from inventory.errors import InputError
from runbooks.commands.options import number
from runbooks.output import Output

SUBJECTS = ("fleet", "phase_1", "planning", "evidence")
MOST = 2000
"""Hosts of a fleet on one machine's loopback."""


def bench(out: Output, subject: str, given: Mapping[str, str], tools: Sequence[str]) -> int:
    """Measures one subject and returns the exit code. Raises InputError for options that do not fit."""
    if subject not in SUBJECTS:
        near = get_close_matches(subject, SUBJECTS, n=1)
        mend = f"did you mean {near[0]}?" if near else f"subjects: {', '.join(SUBJECTS)}"
        raise InputError(f"{subject!r} is nothing to measure", key="--subject", mend=mend)
    if subject == "phase_1":
        from benchmarks import phase_1

        return phase_1.bench(out)
    if subject == "planning":
        from benchmarks import planning

        return planning.bench(out)
    if subject == "evidence":
        from benchmarks import evidence

        return evidence.bench(out)
    out.may_picture(given["picture"])
    from benchmarks.fleet import bench as fleet

    return fleet.bench(out, settings(given, tools))


def settings(given: Mapping[str, str], tools: Sequence[str]):  # type: ignore[no-untyped-def]
    """The fleet's settings. Raises InputError."""
    from benchmarks.fleet.bench import Settings

    def whole(name: str, least: int = 1, most: int = MOST) -> int:
        found = int(number(f"--{name}", given[name]))
        if not least <= found <= most:
            raise InputError(f"must be from {least} to {most}", key=f"--{name}", mend=f"write {least} or more")
        return found

    sizes = []
    for word in given["hosts"].split(","):
        found = int(number("--hosts", word.strip()))
        if not 1 <= found <= MOST:
            raise InputError(
                f"must be from 1 to {MOST}", key="--hosts", mend="write 20, or several with commas: 5,20,50"
            )
        sizes.append(found)
    return Settings(
        tuple(sizes), whole("turns", most=100), duration(given["latency"], key="--latency"), whole("forks"),
        whole("servers", 0), tuple(tools), given["picture"],
    )  # fmt: skip
