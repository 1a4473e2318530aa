"""`status`, `history`, `health`, `unlock` and `snapshots.*`: what stands where, and what hosts keep of it."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from cli.finish import finish
from runbooks.commands.options import about, folder, number


@task(auto_shortflags=False, help=about("env", "inventory", "limit", "json"))
def status(_context: Context, env: str, inventory: str = "", limit: str = "", json: bool = False) -> None:
    """Show what is applied where, what was changed by hand since, and who holds a lock."""
    from runbooks.commands import looking

    finish(lambda out: looking.status(out, env, folder=folder(inventory), limit=limit or None), as_json=json)


@task(auto_shortflags=False, help=about("env", "inventory", "limit", "count", "verify", "json"))
def history(
    _context: Context,
    env: str,
    inventory: str = "",
    limit: str = "",
    count: str = "20",
    verify: bool = False,
    json: bool = False,
) -> None:
    """Show the runs made from here, with steps, gates and endings, and the journal of each host."""
    from runbooks.commands import looking

    finish(
        lambda out: looking.history(
            out, env, folder=folder(inventory), limit=limit or None, count=int(number("--count", count)), verify=verify
        ),
        as_json=json,
    )


@task(auto_shortflags=False, help=about("env", "inventory", "limit", "watch", "json"))
def health(
    _context: Context, env: str, inventory: str = "", limit: str = "", watch: bool = False, json: bool = False
) -> None:
    """Ask every service of an environment once. Exit code 3: something is not healthy."""
    from runbooks.commands import looking, watching

    here, which = folder(inventory), limit or None
    if watch:
        finish(lambda out: watching.watch(out, env, watching.watched, folder=here, limit=which), as_json=json)
    finish(lambda out: looking.health(out, env, folder=here, limit=which), as_json=json)


@task(auto_shortflags=False, help=about("env", "inventory", "limit", "json"))
def notify(_context: Context, env: str, inventory: str = "", limit: str = "", json: bool = False) -> None:
    """Send a trial message to every receiver of an environment. Exit code 1: one did not take it."""
    from runbooks.commands import notifying

    finish(lambda out: notifying.notify(out, env, folder=folder(inventory), limit=limit or None), as_json=json)


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


@task(name="prune", auto_shortflags=False, help=about("env", "inventory", "limit", "keep", "older-than", "yes", "json"))
def snapshots_prune(_context: Context, env: str, inventory: str = "", limit: str = "", keep: str = "10", older_than: str = "",
                    yes: bool = False, json: bool = False) -> None:  # fmt: skip
    """Remove old snapshots of what is undone; what is applied can always be undone."""
    from runbooks.commands import keeping

    finish(
        lambda out: keeping.prune(
            out,
            env,
            folder=folder(inventory),
            limit=limit or None,
            keep=int(number("--keep", keep)),
            older_than=older_than,
        ),
        as_json=json,
        yes=yes,
    )
