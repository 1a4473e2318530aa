"""`discovery.list`, `resolve` and `watch`: what the registry of a stack knows, asked through its registrar on each host."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from checks.probes.aggregator import ASK
from inventory import durations, fleet
from inventory.errors import HostFailed
from inventory.link import Link
from runbooks import session
from runbooks.commands.codes import exit_code
from runbooks.commands.looking import tell_errors
from runbooks.output import Output
from runbooks.session import Session
from runbooks.steps.service_registry import REGISTRAR

NONE_WELL = 3
URL = "http://127.0.0.1:8080"
WAIT_S = 5.0
"""How long one question for changes waits for the next one; between two of them nothing is missed."""
SLACK_S = 15.0
# $1 the project, $2 the label of a registrar, $3 the program that asks, $4 the address.
PROGRAM = (
    'ids=$(docker ps -q --filter "label=com.docker.compose.project=$1" --filter "label=$2") || exit 125; '
    "[ -n \"$ids\" ] || { echo 'no registrar runs here'; exit 126; }; "
    'for id in $ids; do exec docker exec "$id" python3 -c "$3" "$4"; done'
)


def show(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None) -> int:
    """All that is registered, host by host."""
    with session.opened(environment, folder, limit, out.mask) as opened:
        found = _everywhere(opened, dict.fromkeys(opened.links, "/services"))
        for host, document in found.items():
            for each in document["entries"]:
                style = "" if each["health"] == "healthy" else "red"
                out.show(f"{host}  {line(each)}", style=style)
            if not document["entries"]:
                out.show(f"{host}  nothing is registered")
            if document.get("reason"):
                out.show(f"{host}  {document['reason']}", style="yellow")
        tell_errors(out, opened)
        out.document(out.mask.hide_in(found))
        return exit_code(opened.errors, found)


def resolve(
    out: Output, environment: str, service: str, *, folder: Path | None = None, limit: str | None = None
) -> int:
    """Where a service is: ADDRESS:PORT of each instance that is well, a line each. Exit code 3: none is."""
    with session.opened(environment, folder, limit, out.mask) as opened:
        found = _everywhere(opened, dict.fromkeys(opened.links, f"/services/{quote(service, safe='')}"))
        places = dict.fromkeys(f"{each['address']}:{each['port']}" for document in found.values() for each in document["entries"])  # fmt: skip
        out.show(*places)
        if found and not places:
            out.show(f"no instance of {service} is well")
        tell_errors(out, opened)
        out.document(out.mask.hide_in({"service": service, "places": [*places], "hosts": found}))
        return exit_code(opened.errors, found) or (0 if places else NONE_WELL)


def watch(out: Output, environment: str, *, folder: Path | None = None, limit: str | None = None, duration: str = "") -> int:  # fmt: skip
    """Each change as it happens, until Ctrl-C or for so long. Raises InputError for what is no time."""
    end = time.monotonic() + durations.duration(duration, key="--duration") if duration else None
    with session.opened(environment, folder, limit, out.mask) as opened:
        first = _everywhere(opened, dict.fromkeys(opened.links, "/services"))
        since = {host: int(document["revision"]) for host, document in first.items()}
        for host, document in first.items():
            out.show(f"{host}  {len(document['entries'])} registered; each change is a line")
        told: list[dict[str, Any]] = []
        while since and (end is None or time.monotonic() < end):
            wait_s = WAIT_S if end is None else max(0.1, min(WAIT_S, end - time.monotonic()))
            paths = {host: f"/watch?since={revision}&wait={wait_s:.1f}" for host, revision in since.items()}
            found = _everywhere(opened, paths)
            since = {host: int(document["revision"]) for host, document in found.items()}
            for host, document in found.items():
                if document["lost"]:
                    out.show(f"{host}  more happened than the registry still knows: discovery.list shows what is", style="yellow")  # fmt: skip
                for change in document["changes"]:
                    told.append({"host": host, **change})
                    out.show(f"{host}  {changed(change)}", style="" if change["entry"] else "red")
        tell_errors(out, opened)
        out.document(out.mask.hide_in(told))
        return exit_code(opened.errors, first)


def line(entry: dict[str, Any]) -> str:
    """An entry in words."""
    return f"{entry['service']}  {entry['address']}:{entry['port']}  {entry['health']}  ({entry['instance']})"


def changed(change: dict[str, Any]) -> str:
    """A change in words."""
    return line(change["entry"]) if change["entry"] else f"{change['service']}  gone  ({change['instance']})"


def _everywhere(opened: Session, paths: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The answer of each host to its question; who gave none is dropped with the reason."""
    results = fleet.each(paths, lambda name: _ask(opened.links[name], opened.writer(name).project_name, paths[name]))
    opened.drop({name: result.error for name, result in results.items() if result.error})
    return {name: result.value for name, result in results.items() if result.value is not None}


def _ask(link: Link, project: str, path: str) -> dict[str, Any]:
    """What a host's registrar answers. Raises HostFailed."""
    reply = link.run(PROGRAM, project, REGISTRAR, ASK, URL + path, timeout_s=WAIT_S + SLACK_S, become=link.host.become)
    said = (reply.text.strip() or reply.err.decode("utf-8", "replace").strip()).splitlines() or [""]
    try:
        if reply.exit == 0 and "revision" in (found := json.loads(reply.text)):
            return dict(found)
        reason = str(json.loads(reply.text).get("reason", "")) if reply.exit == 0 else said[-1]
    except (ValueError, AttributeError):
        reason = said[-1]
    raise HostFailed(f"its registry cannot be asked: {reason[:200]}", host=link.host.name, mend="./inv migrate --phase 3 --step service_registry adds one; ./inv health shows whether it is well")  # fmt: skip
