"""`inventory.*`: the hosts of an environment."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from cli.finish import finish
from runbooks.commands.options import about, folder


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
