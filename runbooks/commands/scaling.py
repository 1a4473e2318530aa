"""`scale.*`: replicas by use, a round whenever the timer of the soaks calls, for the environments that were started."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from checks.evidence.store import folder as state
from inventory import fleet, inventory
from inventory.errors import InputError, RunbookError
from runbooks import book, scaler, session, whole
from runbooks.commands.codes import exit_code
from runbooks.commands.looking import tell_errors
from runbooks.output import Output
from runbooks.scaler import Scaled

FAILED = 5


def start(out: Output, environment: str, *, folder: Path | None = None) -> int:
    """From now on each call of the timer makes a round for this environment. Raises InputError where nothing is to scale."""
    found = inventory.load(environment, folder, book.declared())
    hosts = [host.name for host in found.hosts if host.variables.get("autoscale")]
    if not hosts:
        raise InputError("no host has a service to scale", key="autoscale", mend="set autoscale: {SERVICE: {}} in the inventory", path=found.path)  # fmt: skip
    for host in found.hosts:
        if host.variables.get("autoscale"):
            book.check_setting("autoscaling", "autoscale", host.variables["autoscale"], "the inventory", None)
    keep({**started(), environment: str(folder.absolute()) if folder else ""})
    out.show(f"{environment} is scaled at each call of soak.tick or scale.tick: {', '.join(hosts)}")
    out.document({"environment": environment, "hosts": hosts})
    return 0


def stop(out: Output, environment: str) -> int:
    """No more rounds for this environment; what runs goes on running."""
    found = started()
    was = found.pop(environment, None) is not None
    keep(found)
    out.show(f"{environment} is {'no longer' if was else 'not'} scaled")
    out.document({"environment": environment, "was_started": was})
    return 0


def tick(out: Output, environment: str = "", *, folder: Path | None = None) -> int:
    """One round of an environment, or of all that were started."""
    chosen = {environment: str(folder.absolute()) if folder else started().get(environment, "")} if environment else started()  # fmt: skip
    if not chosen:
        out.show("no environment is scaled")
    documents, code = every(out, chosen)
    out.document({"environments": documents})
    return code


def every(out: Output, chosen: Mapping[str, str]) -> tuple[dict[str, object], int]:
    """A round of each of some environments (name -> inventory folder); an inventory that cannot be read takes nothing
    from the others."""
    documents: dict[str, object] = {}
    code = 0
    for name, where in chosen.items():
        try:
            found, ended = rounds(out, name, Path(where) if where else None)
        except RunbookError as error:
            out.error(error)
            found, ended = {}, error.code
        documents[name] = {host: [asdict(each) for each in made] for host, made in found.items()}
        code = max(code, ended)
    hidden: dict[str, object] = out.mask.hide_in(documents)
    return hidden, code


def rounds(out: Output, environment: str, folder: Path | None) -> tuple[dict[str, list[Scaled]], int]:
    """A round on each host of an environment that has services to scale; what it came to, and the exit code."""
    with session.opened(environment, folder, None, out.mask) as opened:
        hosts = {name: wanted for name in opened.links if (wanted := opened.host(name).variables.get("autoscale"))}
        for wanted in hosts.values():
            book.check_setting("autoscaling", "autoscale", wanted, "the inventory", None)

        def one(name: str) -> list[Scaled]:
            memory = scaler.memory_of(state(), environment, name)
            return scaler.round_of(opened.links[name], opened.writer(name), out.mask, hosts[name], memory, time.time())

        results = fleet.each(hosts, one)
        opened.drop({name: result.error for name, result in results.items() if result.error})
        found = {name: result.value for name, result in results.items() if result.value is not None}
        for name, made in found.items():
            for each in made:
                out.show(f"{name}  {line(each)}", style="red" if each.failed else "")
        tell_errors(out, opened)
        failed = any(each.failed for made in found.values() for each in made)
        return found, exit_code(opened.errors, found) or (FAILED if failed else 0)


def line(each: Scaled) -> str:
    """What a round came to for a service, in words."""
    count = f"{each.before}" if each.before == each.after else f"{each.before} -> {each.after}"
    used = "" if each.cpu is None else f" at {each.cpu:.0f} % of its limit"
    return f"{each.service}  {count} replica(s){used}{f': {each.note}' if each.note else ''}"


def started() -> dict[str, str]:
    """The environments that are scaled, with the folder of each one's inventory (or nothing: the clone's own)."""
    with suppress(OSError, ValueError, AttributeError):
        return {str(name): str(where) for name, where in json.loads(_file().read_bytes()).items()}
    return {}


def keep(found: dict[str, str]) -> None:
    whole.keep(_file(), json.dumps(found))


def _file() -> Path:
    return state() / "scaled.json"
