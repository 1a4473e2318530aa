"""`command`: any program, in a service's container or on the host; well when it ends with 0."""

from __future__ import annotations

import shlex

from checks.model import Probe
from checks.probes.kind import Kind, in_service
from inventory.errors import InputError


def command(probe: Probe, project: str) -> tuple[str, ...]:
    given = probe.settings.get("command", "")
    words = tuple(map(str, given)) if isinstance(given, (list, tuple)) else tuple(shlex.split(str(given)))
    if not words:
        raise InputError("a command probe needs a command", key=probe.name, mend="write command: [word, word]")
    return words if probe.settings.get("on_host") else in_service(project, probe.service, *words)


KIND = Kind({"command": "the program and its words", "on_host": "true: on the host, not in a container"}, command)
