"""Runs the inventory's hooks around a batch: drain, silence alerts, back up, and the way back from each.

Those after a batch run whatever happened in it, so that what a hook before it did (alerts silenced, traffic drained)
is taken back after a failing gate too. A hook learns what it is about from RUNBOOK_RUN, RUNBOOK_ENVIRONMENT,
RUNBOOK_BATCH, RUNBOOK_HOSTS (with commas), RUNBOOK_HOST (on a host) and, after the batch, RUNBOOK_OUTCOME.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from inventory import fleet
from inventory.errors import RunbookError
from inventory.hooks import Hook
from inventory.link import Link, Reply
from inventory.local import LocalLink
from inventory.model import Host, Project
from inventory.values import frozen
from runbooks import events
from runbooks.hostrun import HostRun

CONTROLLER = "the controller"
SLACK_S = 5.0
"""Seconds besides a hook's own limit: to start it, and to end what does not heed the first signal."""
SHOWN = 2000
"""Characters of a hook's output that an event carries: its end."""
# Standard input: lines "NAME base64". The command travels there too, so that neither it nor a secret is in a process list.
PROGRAM = r"""
while read -r name value; do
    value=$(printf %s "$value" | base64 -d; printf x)
    export "$name=${value%x}"
done
cd "$2" || exit 125
exec timeout "$1" sh -c 'command=$RUNBOOK_HOOK; unset RUNBOOK_HOOK; eval "$command"' </dev/null 2>&1
"""


@frozen
class Batch:
    """What hooks are told of the batch that they stand around. `environments` are the hooks' own variables, resolved."""

    run: str
    environment: str
    number: int
    hosts: Sequence[HostRun]
    environments: Mapping[Hook, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def has(self, when: str) -> bool:
        return any(hook.when == when for host in self.hosts for hook in host.plan.hooks)


@frozen
class Failure:
    """A hook that failed where its failure stops the run."""

    host: str
    hook: str
    said: str

    def __str__(self) -> str:
        return f"the hook {self.hook} failed on {self.host}: {self.said}"


def before(batch: Batch) -> list[Failure]:
    """Runs the hooks before a batch: on the controller, then on its hosts. Those after one that stops are not run."""
    return _on_controller(batch, "before", "") or _on_hosts(batch, "before", {})


def after(batch: Batch, outcome: str, endings: Mapping[str, str]) -> list[Failure]:
    """Runs the hooks after a batch, all of them: on its hosts, then on the controller. `endings`: how hosts ended."""
    return _on_hosts(batch, "after", endings) + _on_controller(batch, "after", outcome)


def _on_controller(batch: Batch, when: str, outcome: str) -> list[Failure]:
    """Each hook of the controller once, for all hosts of the batch that have it."""
    here = LocalLink(Host(CONTROLLER, "localhost", Project(str(Path.cwd())), connection="local"))
    failures: list[Failure] = []
    hooks = dict.fromkeys(hook for host in batch.hosts for hook in _of(host, when, "controller"))
    for hook in hooks:
        mine = [host for host in batch.hosts if hook in host.plan.hooks]
        told = {"RUNBOOK_HOSTS": ",".join(host.name for host in mine), "RUNBOOK_OUTCOME": outcome}
        failure = _run(batch, hook, here, str(Path.cwd()), told, mine)
        failures += [failure] if failure and hook.stops else []
        if failures and when == "before":
            break
    return failures


def _on_hosts(batch: Batch, when: str, endings: Mapping[str, str]) -> list[Failure]:
    """Each host's own hooks in their order, all hosts at once."""
    by_name = {host.name: host for host in batch.hosts if _of(host, when, "host")}

    def run(name: str) -> list[Failure]:
        host, failures = by_name[name], []
        for hook in _of(host, when, "host"):
            told = {"RUNBOOK_HOSTS": ",".join(each.name for each in batch.hosts), "RUNBOOK_HOST": name,
                    "RUNBOOK_OUTCOME": endings.get(name, "")}  # fmt: skip
            failure = _run(batch, hook, host.link, host.plan.project_dir, told, [host])
            failures += [failure] if failure and hook.stops else []
            if failures and when == "before":
                break
        return failures

    return [failure for result in fleet.each(by_name, run).values() for failure in result.value or ()]


def _of(host: HostRun, when: str, where: str) -> list[Hook]:
    return [hook for hook in host.plan.hooks if (hook.when, hook.where) == (when, where)]


def _run(
    batch: Batch, hook: Hook, link: Link, folder: str, told: Mapping[str, str], hosts: Sequence[HostRun]
) -> Failure | None:
    """Runs one hook in one place, tells it, and journals it on the hosts that it is about."""
    variables = {**batch.environments.get(hook, {}), **told, "RUNBOOK_RUN": batch.run, "RUNBOOK_HOOK": hook.command,
                 "RUNBOOK_ENVIRONMENT": batch.environment, "RUNBOOK_BATCH": str(batch.number)}  # fmt: skip
    data = "".join(f"{name} {base64.b64encode(value.encode()).decode()}\n" for name, value in variables.items())
    begin = time.monotonic()
    reply: Reply | None = None
    try:
        reply = link.run(PROGRAM, f"{hook.timeout_s:g}", folder, data=data.encode(), timeout_s=hook.timeout_s + SLACK_S,
                         become=link.host.become, alone=True)  # fmt: skip
        said = _said(hook, reply)
    except RunbookError as error:
        said = error.message
    seconds = time.monotonic() - begin
    output = reply.text.strip()[-SHOWN:] if reply else ""
    for host in hosts:
        with suppress(RunbookError):  # a host that cannot be told now loses nothing else
            host.writer.note("hook", {"when": hook.when, "name": hook.name, "where": hook.where,
                                      "outcome": "ok" if not said else "failed"})  # fmt: skip
    hosts[0].emit(events.HookRan(
        host=link.host.name, when=hook.when, name=hook.name, command=hook.command, ok=not said, seconds=seconds,
        detail=said, output=output, stops=hook.stops,
    ))  # fmt: skip
    return Failure(link.host.name, hook.name, said) if said else None


def _said(hook: Hook, reply: Reply) -> str:
    """Why a hook failed, in one line; empty when it did not."""
    if reply.exit == 0:
        return ""
    if reply.exit in (124, 143) and reply.seconds >= hook.timeout_s:
        return f"no end in {hook.timeout_s:g} s"
    lines = reply.text.strip().splitlines() or reply.err.decode("utf-8", "replace").strip().splitlines()
    return f"exit {reply.exit}" + (f": {lines[-1].strip()[:200]}" if lines else "")
