"""`fuzz`, `mutate`, `audit`: whether bad input is refused, tests notice wrong code, and what is used is known to be vulnerable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from cli.finish import finish
from runbooks.commands.options import about, number

if TYPE_CHECKING:
    from runbooks.output import Output


@task(auto_shortflags=False, help=about("seconds", "target", "json"))
def fuzz(_context: Context, seconds: str = "150", target: str = "", json: bool = False) -> None:
    """Give each reader of files, answers and journals bad input. Exit code 1: something broke on it."""
    from benchmarks import fuzzing

    finish(lambda out: fuzzing.fuzz(out, seconds=number("--seconds", seconds), only=target), as_json=json)


@task(auto_shortflags=False, help=about("part", "sample", "json"))
def mutate(_context: Context, part: str = "", sample: str = "", json: bool = False) -> None:
    """Change the planner, the transaction and the gate a little, thousands of times: do tests notice? Takes long."""
    from benchmarks import mutation

    def work(out: Output) -> int:
        few = int(number("--sample", sample)) if sample else None
        return mutation.mutate(out, part=part, sample=few or None)

    finish(work, as_json=json)


@task(auto_shortflags=False, help=about("advisories", "json"))
def audit(_context: Context, advisories: str = "", json: bool = False) -> None:
    """Ask a service what is known to be vulnerable of what the tool runs with. Exit code 1: something is, or it was not asked."""
    from lab import audit as asked

    finish(lambda out: asked.audit(out, service=advisories or asked.SERVICE), as_json=json)
