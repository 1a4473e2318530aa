"""`discovery.*`: what the registry of a stack knows."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from cli.finish import finish
from runbooks.commands.options import about, folder


@task(name="list", auto_shortflags=False, help=about("env", "inventory", "limit", "json"))
def discovery_list(_context: Context, env: str, inventory: str = "", limit: str = "", json: bool = False) -> None:
    """Show all services that are registered, where they are, and whether they are well."""
    from runbooks.commands import discovering

    finish(lambda out: discovering.show(out, env, folder=folder(inventory), limit=limit or None), as_json=json)


@task(name="resolve", positional=["service"], auto_shortflags=False, help=about("service", "env", "inventory", "limit", "json"))  # fmt: skip
def discovery_resolve(_context: Context, service: str, env: str, inventory: str = "", limit: str = "", json: bool = False) -> None:  # fmt: skip
    """Print ADDRESS:PORT of each instance of a service that is well. Exit code 3: none is."""
    from runbooks.commands import discovering

    finish(lambda out: discovering.resolve(out, env, service, folder=folder(inventory), limit=limit or None), as_json=json)  # fmt: skip


@task(name="watch", auto_shortflags=False, help=about("env", "inventory", "limit", "duration", "json"))
def discovery_watch(_context: Context, env: str, inventory: str = "", limit: str = "", duration: str = "", json: bool = False) -> None:  # fmt: skip
    """Show each change in the registry as it happens, until Ctrl-C."""
    from runbooks.commands import discovering

    finish(lambda out: discovering.watch(out, env, folder=folder(inventory), limit=limit or None, duration=duration), as_json=json)  # fmt: skip
