"""`lab.*`, `demo`, `bench`, `proof`, `test` and `lint`: practice hosts, and what shows that all this works."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from cli.finish import finish
from runbooks.commands.options import about, number, split


@task(name="up", auto_shortflags=False, help=about("no-start"))
def lab_up(_context: Context, no_start: bool = False) -> None:
    """Bring up the practice hosts, and the example platform on them."""
    from lab import commands

    finish(lambda out: commands.up(out, start=not no_start))


@task(name="status", auto_shortflags=False, help=about("json"))
def lab_status(_context: Context, json: bool = False) -> None:
    """Show the practice hosts of this checkout."""
    from lab import commands

    finish(commands.status, as_json=json)


@task(name="ssh", positional=["host"], auto_shortflags=False, help=about("host", "command"))
def lab_ssh(_context: Context, host: str, command: str = "") -> None:
    """Open a shell on a practice host."""
    from lab import commands

    finish(lambda _out: commands.ssh(host, command))


@task(name="down", auto_shortflags=False, help=about("purge"))
def lab_down(_context: Context, purge: bool = False) -> None:
    """Remove the practice hosts of this checkout, their volumes and keys."""
    from lab import commands

    finish(lambda out: commands.down(out, purge=purge))


@task(name="sample", auto_shortflags=False, help=about("folder"))
def lab_sample(_context: Context, folder: str = ".") -> None:
    """Write a soak's report of made-up measurements, and pictures of it; needs no hosts, and a browser for the pictures."""
    from lab import sample

    finish(lambda out: sample.pictures(out, Path(folder)))


@task(auto_shortflags=False, help=about("phase", "all", "json", "colds", "scale", "picture"))
def demo(_context: Context, phase: str = "", all: bool = False, json: bool = False, colds: str = "1", scale: str = "1.0", picture: str = "") -> None:  # fmt: skip
    """Migrate a phase (1), or all, on practice hosts for real, show figures before and after, roll back, prove the bytes."""
    from lab import demo as story

    finish(
        lambda out: story.chosen(
            out,
            phase,
            every=all,
            colds=int(number("--colds", colds, least=1)),
            scale=number("--scale", scale, whole=False, least=0.1),
            picture=picture,
        ),
        as_json=json,
    )


@task(iterable=["tools"], auto_shortflags=False, help=about(
    "subject", "hosts", "turns", "latency", "forks", "servers", "tools", "picture", "json"))  # fmt: skip
def bench(_context: Context, subject: str = "fleet", hosts: str = "20", turns: str = "3", latency: str = "0ms", forks: str = "20",
          servers: str = "0", tools: Iterable[str] | None = None, picture: str = "", json: bool = False) -> None:  # fmt: skip
    """Measure a fleet side by side with other tools, phase 1 with the same by hand, or planning: ratios and counts."""
    from benchmarks import subjects

    given = {"hosts": hosts, "turns": turns, "latency": latency, "forks": forks, "servers": servers, "picture": picture}
    finish(lambda out: subjects.bench(out, subject, given, split(tools)), as_json=json)


@task(iterable=["only", "shell"], auto_shortflags=False, help=about("full", "only", "shell", "workers", "json"))
def proof(_context: Context, full: bool = False, only: Iterable[str] | None = None, shell: Iterable[str] | None = None,
          workers: str = "2", json: bool = False) -> None:  # fmt: skip
    """Strike the tool everywhere and show that every host is whole afterwards: faults injected, files lost, time to repair."""
    from lab.proof import prove

    finish(
        lambda out: prove.proof(
            out, full=full, parts=split(only), shells=split(shell), workers=int(number("--workers", workers))
        ),
        as_json=json,
    )


@task(auto_shortflags=False, help=about("fast", "lint", "drills", "select"))
def test(_context: Context, fast: bool = False, lint: bool = True, drills: bool = False, select: str = "") -> None:
    """Run all checks and tests; --fast leaves out what needs Docker or much time."""
    from lab import testing

    finish(lambda _out: testing.run(fast=fast, lint=lint, drills=drills, select=select or None))


@task
def lint(_context: Context) -> None:
    """Check format, style, types, the import contract and shell programs."""
    from lab import testing

    finish(lambda _out: testing.lint())


@task(auto_shortflags=False, help=about("upgrade"))
def lock(_context: Context, upgrade: bool = False) -> None:
    """Write the hash-locked requirements anew from the .in files, for who changes a dependency."""
    from lab import testing

    finish(lambda _out: testing.lock(upgrade=upgrade))
