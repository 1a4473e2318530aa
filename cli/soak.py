"""`soak.*`: gates of hours and days, fed by scheduled ticks."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from cli.finish import finish
from runbooks.commands.options import about, folder


@task(name="start", auto_shortflags=False, help=about("env", "inventory", "limit", "hours", "every", "json"))
def soak_start(_context: Context, env: str, inventory: str = "", limit: str = "", hours: str = "", every: str = "",
               json: bool = False) -> None:  # fmt: skip
    """Begin to watch an environment for hours: stores what to ask of each host, for soak.tick."""
    from runbooks.commands import soak_starting

    finish(
        lambda out: soak_starting.start(
            out, env, folder=folder(inventory), limit=limit or None, hours=hours, every=every
        ),
        as_json=json,
    )  # fmt: skip


@task(name="tick", auto_shortflags=False, help=about("env", "follow", "json"))
def soak_tick(_context: Context, env: str = "", follow: bool = False, json: bool = False) -> None:
    """Make one round of every running soak that is due, and of scaling where it was started; safe to call at any time."""
    from runbooks.commands import soaking

    finish(lambda out: soaking.tick(out, env, follow=follow), as_json=json)


@task(name="status", auto_shortflags=False, help=about("env", "json"))
def soak_status(_context: Context, env: str = "", json: bool = False) -> None:
    """Show the newest soak of each environment, and the verdict so far."""
    from runbooks.commands import soaking

    finish(lambda out: soaking.status(out, env), as_json=json)


@task(name="stop", auto_shortflags=False, help=about("env", "json"))
def soak_stop(_context: Context, env: str, json: bool = False) -> None:
    """End the running soak of an environment before its time."""
    from runbooks.commands import soaking

    finish(lambda out: soaking.stop(out, env), as_json=json)


@task(name="report", auto_shortflags=False, help=about("env", "soak", "html", "json"))
def soak_report(_context: Context, env: str = "", soak: str = "", html: str = "", json: bool = False) -> None:
    """Show all that a soak measured. Exit code: 0 passed, 3 failed, 7 inconclusive or still running."""
    from runbooks.commands import soaking

    finish(lambda out: soaking.report(out, env, soak=soak, html=html), as_json=json)


@task(name="metrics", auto_shortflags=False, help=about("textfile", "serve"))
def soak_metrics(_context: Context, textfile: str = "", serve: str = "") -> None:
    """Give the newest soaks to Prometheus: print them, write them for node_exporter, or serve them to be scraped."""
    from runbooks.commands import monitoring

    finish(lambda out: monitoring.metrics(out, textfile=textfile, serve=serve))


@task(name="dashboards", auto_shortflags=False, help=about("folder"))
def soak_dashboards(_context: Context, folder: str = "monitoring") -> None:
    """Write Prometheus' rules and Grafana's dashboards for the five metrics, all from one table."""
    from runbooks.commands import monitoring

    finish(lambda out: monitoring.dashboards(out, Path(folder)))


@task(
    name="schedule",
    auto_shortflags=False,
    help=about("install", "print", "remove", "env", "inventory", "every", "json"),
)
def soak_schedule(_context: Context, install: bool = False, print: bool = False, remove: bool = False, env: str = "",
                  inventory: str = "", every: str = "30s", json: bool = False) -> None:  # fmt: skip
    """Let systemd or cron call soak.tick, after a proof that it can log in without an agent or a password."""
    from runbooks.commands import scheduling

    finish(
        lambda out: scheduling.schedule(
            out, install=install, show=print, remove=remove, environment=env, folder=folder(inventory), every=every
        ),
        as_json=json,
    )
