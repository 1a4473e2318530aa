"""`plan`, `migrate` and `rollback`: what changes hosts, and what says beforehand how."""

from __future__ import annotations

from collections.abc import Iterable

from invoke.context import Context
from invoke.tasks import task

from cli.finish import finish
from runbooks.commands.options import about, folder, split


@task(iterable=["file", "step", "tags"], auto_shortflags=False, help=about(
    "phase", "env", "file", "inventory", "limit", "step", "tags", "out", "json", "patch", "show-secrets",
    "forks"))  # fmt: skip
def plan(_context: Context, phase: str = "", env: str = "", file: Iterable[str] | None = None, inventory: str = "", limit: str = "",
         step: Iterable[str] | None = None, tags: Iterable[str] | None = None, out: str = "", json: bool = False, patch: bool = False,
         show_secrets: bool = False, forks: str = "") -> None:  # fmt: skip
    """Show what a phase would change; changes nothing. Exit code 2: there are changes."""
    from runbooks.commands import planning
    from runbooks.commands.choice import Choice

    choice = Choice(phase, env, folder(inventory), limit or None, split(step), split(tags))
    finish(
        lambda to: planning.plan(
            to, choice, files=tuple(file or ()), keep=out, patch=patch, show_secrets=show_secrets, forks=forks
        ),
        as_json=json,
    )


@task(iterable=["step", "tags"], auto_shortflags=False, help=about(
    "phase", "env", "inventory", "plan", "limit", "step", "tags", "serial", "check", "diff", "yes", "accept-risk",
    "accept-drift", "override", "resume", "forks", "executor", "json", "json-lines"))  # fmt: skip
def migrate(_context: Context, phase: str = "", env: str = "", inventory: str = "", plan: str = "", limit: str = "",
            step: Iterable[str] | None = None, tags: Iterable[str] | None = None, serial: str = "", check: bool = False, diff: bool = False,
            yes: bool = False, accept_risk: str = "medium", accept_drift: bool = False, override: str = "", resume: bool = False,
            forks: str = "", executor: str = "", json: bool = False, json_lines: bool = False) -> None:  # fmt: skip
    """Carry a phase out on an environment: each step proven, gated, and undone where its gate fails."""
    from runbooks.commands import migrating
    from runbooks.commands.choice import Choice

    choice = Choice(phase, env, folder(inventory), limit or None, split(step), split(tags))
    how = migrating.How(
        serial, check, diff, accept_risk, plan, resume, override.strip(), forks, accept_drift, executor.strip()
    )
    finish(lambda to: migrating.migrate(to, choice, how), as_json=json, yes=yes, as_lines=json_lines)


@task(auto_shortflags=False, help=about(
    "env", "inventory", "run", "to", "with-later", "limit", "force", "from-controller", "yes", "forks", "json", "json-lines"))  # fmt: skip
def rollback(_context: Context, env: str = "", inventory: str = "", run: str = "", to: str = "", with_later: bool = False, limit: str = "",
             force: bool = False, from_controller: bool = False, yes: bool = False, forks: str = "",
             json: bool = False, json_lines: bool = False) -> None:  # fmt: skip
    """Undo the last run that you made, or another one: every file byte for byte."""
    from runbooks.commands import rolling_back

    finish(
        lambda out: rolling_back.rollback(
            out,
            env,
            folder=folder(inventory),
            run=run or None,
            to=to or None,
            limit=limit or None,
            force=force,
            forks=forks,
            later=with_later,
            from_controller=from_controller,
        ),
        as_json=json,
        yes=yes,
        as_lines=json_lines,
    )
