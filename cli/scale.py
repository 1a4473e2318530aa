"""`scale.*`: replicas by use."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from cli.finish import finish
from runbooks.commands.options import about, folder


@task(name="start", auto_shortflags=False, help=about("env", "inventory", "json"))
def scale_start(_context: Context, env: str, inventory: str = "", json: bool = False) -> None:
    """Scale the services in an environment's autoscale by their use, at each call of the soaks' timer."""
    from runbooks.commands import scaling

    finish(lambda out: scaling.start(out, env, folder=folder(inventory)), as_json=json)


@task(name="tick", auto_shortflags=False, help=about("env", "inventory", "json"))
def scale_tick(_context: Context, env: str = "", inventory: str = "", json: bool = False) -> None:
    """Make one round of scaling, for an environment or all that were started. Exit code 5: it could not be done somewhere."""
    from runbooks.commands import scaling

    finish(lambda out: scaling.tick(out, env, folder=folder(inventory)), as_json=json)


@task(name="stop", auto_shortflags=False, help=about("env", "json"))
def scale_stop(_context: Context, env: str, json: bool = False) -> None:
    """Scale an environment no more; what runs goes on running."""
    from runbooks.commands import scaling

    finish(lambda out: scaling.stop(out, env), as_json=json)
