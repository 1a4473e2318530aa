"""What the controller's store knows of runs: who made them, of what plan, their steps and gates, and how they ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from checks.evidence import Store


def told(store: Store, environment: str, count: int) -> list[dict[str, Any]]:
    """An environment's newest runs, the newest first, each with its steps, gates and the services that it brought up."""
    return [
        {**{name: value for name, value in run.__dict__.items() if name != "hosts"}, "hosts": dict(run.hosts),
         "steps_done": _rows(store.steps(run.id)), "gates": _rows(store.gates(run.id)), "ups": _rows(store.ups(run.id))}
        for run in store.runs(environment=environment, limit=count)
    ]  # fmt: skip


def lines(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The runs as people read them, the newest last, as the journals below them are."""
    for run in reversed(runs):
        what = (
            f"{run['kind']} phase {run['phase']}" if run["kind"] == "migrate" else f"{run['kind']} of {run['undoes']}"
        )
        plan = f", plan {run['fingerprint'][:12]}" if run["fingerprint"] else ""
        yield f"{run['started'][:19]}  {run['id']}  {what} by {run['who']}{plan}: {ending(run)}"
        if run["override"]:
            yield f"    ! override: {run['override']}"
        events = [
            (each["at"], f"{each['host']}  {each['steps']}: {each['outcome']} ({each['seconds']:.0f} s)")
            for each in run["steps_done"]
        ]
        events += [
            (each["at"], f"gate after the {each['side']} of {each['steps']}: {each['outcome']}: {each['reason']}")
            for each in run["gates"]
        ]
        yield from (f"    {at[:19]}  {text}" for at, text in sorted(events))


def ending(run: dict[str, Any]) -> str:
    """How a run ended, in a few words."""
    if run["ended"] is None:
        return "it was cut off, or goes on"
    hosts = ", ".join(f"{host} {how}" for host, how in run["hosts"].items())
    return f"{run['outcome']}, exit code {run['code']}" + (f" ({hosts})" if hosts else "")


def _rows(records: Sequence[Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(record).items() if name != "run"} for record in records]
