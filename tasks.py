"""The command line: parses options, calls one function, exits with its code. What a task does is in `runbooks.commands`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task

from runbooks.commands.options import about, folder, number, split

if TYPE_CHECKING:
    from runbooks.output import Output


def finish(work: Callable[[Output], int], *, as_json: bool = False, yes: bool = False) -> None:
    """Runs a command and ends the program with its exit code. Bad input is one line, whatever it is."""
    from inventory.errors import RunbookError
    from runbooks.output import Output

    out = Output(as_json=as_json, yes=yes)
    try:
        code = work(out)
        sys.stdout.flush()
    except RunbookError as error:
        out.error(error)
        code = error.code
    except KeyboardInterrupt:
        out.error(RunbookError("interrupted"))
        code = 130
    except BrokenPipeError:
        # The reader of a pipe has gone; Python must not complain about that at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if os.environ.get("RUNBOOK_TRACEBACK"):
            raise
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where is not None else "?"
        words = (str(error) or "no more is known").splitlines()[0]
        out.error(RunbookError(f"this is a bug: {type(error).__name__} in {place}: {words}",
                               mend="RUNBOOK_TRACEBACK=1 shows where"))  # fmt: skip
        code = 1
    raise SystemExit(code)


@task(iterable=["file", "step", "tags"], auto_shortflags=False, help=about(
    "phase", "env", "file", "inventory", "limit", "step", "tags", "out", "json", "patch", "show-secrets"))  # fmt: skip
def plan(_context: Context, phase: str = "", env: str = "", file: Iterable[str] | None = None, inventory: str = "", limit: str = "",
         step: Iterable[str] | None = None, tags: Iterable[str] | None = None, out: str = "", json: bool = False, patch: bool = False,
         show_secrets: bool = False) -> None:  # fmt: skip
    """Show what a phase would change; changes nothing. Exit code 2: there are changes."""
    from runbooks.commands import planning
    from runbooks.commands.choice import Choice

    choice = Choice(phase, env, folder(inventory), limit or None, split(step), split(tags))
    finish(
        lambda to: planning.plan(to, choice, files=tuple(file or ()), keep=out, patch=patch, show_secrets=show_secrets),
        as_json=json,
    )


@task(iterable=["step", "tags"], auto_shortflags=False, help=about(
    "phase", "env", "inventory", "plan", "limit", "step", "tags", "serial", "check", "diff", "yes", "accept-risk",
    "resume", "json"))  # fmt: skip
def migrate(_context: Context, phase: str = "", env: str = "", inventory: str = "", plan: str = "", limit: str = "",
            step: Iterable[str] | None = None, tags: Iterable[str] | None = None, serial: str = "", check: bool = False, diff: bool = False,
            yes: bool = False, accept_risk: str = "medium", resume: bool = False, json: bool = False) -> None:  # fmt: skip
    """Carry a phase out on an environment: each step proven, gated, and undone where its gate fails."""
    from runbooks.commands import migrating
    from runbooks.commands.choice import Choice

    choice = Choice(phase, env, folder(inventory), limit or None, split(step), split(tags))
    how = migrating.How(serial, check, diff, accept_risk, plan, resume)
    finish(lambda to: migrating.migrate(to, choice, how), as_json=json, yes=yes)


@task(auto_shortflags=False, help=about("env", "inventory", "run", "to", "limit", "force", "yes", "json"))
def rollback(_context: Context, env: str = "", inventory: str = "", run: str = "", to: str = "", limit: str = "",
             force: bool = False, yes: bool = False, json: bool = False) -> None:  # fmt: skip
    """Undo the last run that you made, or another one: every file byte for byte."""
    from runbooks.commands import rolling_back

    finish(
        lambda out: rolling_back.rollback(
            out, env, folder=folder(inventory), run=run or None, to=to or None, limit=limit or None, force=force
        ),
        as_json=json,
        yes=yes,
    )


@task(auto_shortflags=False, help=about("env", "inventory", "limit", "json"))
def status(_context: Context, env: str, inventory: str = "", limit: str = "", json: bool = False) -> None:
    """Show what is applied where, what was changed by hand since, and who holds a lock."""
    from runbooks.commands import looking

    finish(lambda out: looking.status(out, env, folder=folder(inventory), limit=limit or None), as_json=json)


@task(auto_shortflags=False, help=about("env", "inventory", "limit", "count", "json"))
def history(
    _context: Context, env: str, inventory: str = "", limit: str = "", count: str = "20", json: bool = False
) -> None:
    """Show the journal of each host."""
    from runbooks.commands import looking

    finish(
        lambda out: looking.history(
            out, env, folder=folder(inventory), limit=limit or None, count=int(number("--count", count))
        ),
        as_json=json,
    )


@task(auto_shortflags=False, help=about("env", "inventory", "limit", "watch", "json"))
def health(
    _context: Context, env: str, inventory: str = "", limit: str = "", watch: bool = False, json: bool = False
) -> None:
    """Ask every service of an environment once. Exit code 3: something is not healthy."""
    from runbooks.commands import looking

    finish(
        lambda out: looking.health(out, env, folder=folder(inventory), limit=limit or None, watch=watch), as_json=json
    )


@task(auto_shortflags=False, help=about("env", "inventory", "limit", "yes", "json"))
def unlock(
    _context: Context, env: str, inventory: str = "", limit: str = "", yes: bool = False, json: bool = False
) -> None:
    """Break a lock that a lost run left, after showing whose it is."""
    from runbooks.commands import keeping

    finish(lambda out: keeping.unlock(out, env, folder=folder(inventory), limit=limit or None), as_json=json, yes=yes)


@task(name="list", auto_shortflags=False, help=about("env", "inventory", "limit", "json"))
def snapshots_list(_context: Context, env: str, inventory: str = "", limit: str = "", json: bool = False) -> None:
    """Show what can be restored."""
    from runbooks.commands import keeping

    finish(lambda out: keeping.snapshots(out, env, folder=folder(inventory), limit=limit or None), as_json=json)


@task(name="prune", auto_shortflags=False, help=about("env", "inventory", "limit", "keep", "yes", "json"))
def snapshots_prune(_context: Context, env: str, inventory: str = "", limit: str = "", keep: str = "10", yes: bool = False,
                    json: bool = False) -> None:  # fmt: skip
    """Remove old snapshots of what is undone; what is applied can always be undone."""
    from runbooks.commands import keeping

    finish(
        lambda out: keeping.prune(
            out, env, folder=folder(inventory), limit=limit or None, keep=int(number("--keep", keep))
        ),
        as_json=json,
        yes=yes,
    )


@task(name="list", auto_shortflags=False, help=about("env", "inventory", "limit"))
def inventory_list(_context: Context, env: str, inventory: str = "", limit: str = "") -> None:
    """Print the inventory as `ansible-inventory --list` does."""
    from runbooks.commands import hosts

    finish(lambda out: hosts.show_list(out, env, folder=folder(inventory), limit=limit or None), as_json=True)


@task(name="graph", auto_shortflags=False, help=about("env", "inventory", "limit", "json"))
def inventory_graph(_context: Context, env: str, inventory: str = "", limit: str = "", json: bool = False) -> None:
    """Print groups and hosts as a tree."""
    from runbooks.commands import hosts

    finish(lambda out: hosts.show_graph(out, env, folder=folder(inventory), limit=limit or None), as_json=json)


@task(name="ping", auto_shortflags=False, help=about("env", "inventory", "limit", "json"))
def inventory_ping(_context: Context, env: str, inventory: str = "", limit: str = "", json: bool = False) -> None:
    """Log in to each host and ask its engine for its version."""
    from runbooks.commands import hosts

    finish(lambda out: hosts.ping(out, env, folder=folder(inventory), limit=limit or None), as_json=json)


@task(name="adopt", positional=["host"], auto_shortflags=False, help=about("host", "env", "inventory", "write"))
def inventory_adopt(_context: Context, host: str, env: str = "", inventory: str = "", write: bool = False) -> None:
    """Find the Compose projects that run on a host, and print their inventory entry."""
    from runbooks.commands import hosts

    finish(
        lambda out: hosts.adopt(out, host, environment=env, folder=folder(inventory), write=write), as_json=not write
    )


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


@task(auto_shortflags=False, help=about("json", "colds", "scale", "picture"))
def demo(_context: Context, json: bool = False, colds: str = "1", scale: str = "1.0", picture: str = "") -> None:
    """Migrate phase 1 on practice hosts for real, show figures before and after, roll back, prove the bytes."""
    from lab import demo as story

    finish(
        lambda out: story.demo(
            out, colds=int(number("--colds", colds)), scale=number("--scale", scale, whole=False), picture=picture
        ),
        as_json=json,
    )


@task(auto_shortflags=False, help=about("json"))
def bench(_context: Context, json: bool = False) -> None:
    """Measure phase 1 on practice hosts side by side with the same done by hand: ratios and counts."""
    from benchmarks import phase_1

    finish(phase_1.bench, as_json=json)


@task(auto_shortflags=False, help=about("fast", "lint", "select"))
def test(_context: Context, fast: bool = False, lint: bool = True, select: str = "") -> None:
    """Run all checks and tests; --fast leaves out what needs Docker."""
    from lab import testing

    finish(lambda _out: testing.run(fast=fast, lint=lint, select=select or None))


@task
def lint(_context: Context) -> None:
    """Check format, style, types, the import contract and shell programs."""
    from lab import testing

    finish(lambda _out: testing.lint())


def namespace() -> Collection:
    """All tasks, in groups."""
    root = Collection()
    tasks: tuple[Any, ...] = (plan, migrate, rollback, status, history, health, unlock, demo, bench, test, lint)
    for each in tasks:
        root.add_task(each)
    groups: dict[str, tuple[Any, ...]] = {
        "inventory": (inventory_list, inventory_graph, inventory_ping, inventory_adopt),
        "lab": (lab_up, lab_status, lab_ssh, lab_down),
        "snapshots": (snapshots_list, snapshots_prune),
    }
    for name, group in groups.items():
        below = Collection(name)
        for each in group:
            below.add_task(each)
        root.add_collection(below)
    return root


ns = namespace()
