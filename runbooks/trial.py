"""Tries planned files on the host before they are written, in one exchange and in a private folder.

The host's own Compose renders each candidate (the model must differ as planned) and says what bringing it up would
recreate; the engine says what each container has written beside its volumes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from inventory.engine import Compose
from inventory.errors import Refused
from inventory.link import Link
from inventory.replies import understood
from runbooks import private
from runbooks.compose.model import Stack
from runbooks.model import Container, Facts, runs
from runbooks.plan_model import Trial
from runbooks.programs import Part
from runbooks.proof import Copy, bench, copy, difference, model, newly_unset

_DRY = re.compile(r"DRY-RUN MODE -\s+Container (\S+)\s+(\w+)")
_RENEWS = ("Recreate", "Recreated")


def trial(link: Link, compose: Compose, before: Stack, candidates: Mapping[str, Stack], facts: Facts) -> Trial:
    """Tries each candidate (name -> stack) against the stack before.

    Raises HostFailed, Unreachable, and Refused when the host's Compose cannot read the unchanged files.
    """
    copies = {"before": copy(compose, before, before, "before")}
    copies |= {name: copy(compose, before, stack, name) for name, stack in candidates.items()}
    running = [each for members in facts.containers.values() for each in members if runs(each)]
    more: dict[str, tuple[str, ...]] = {}
    for name, stack in candidates.items():
        services = [service for service in dict.fromkeys(each.service for each in running) if service in stack.services]
        if services:
            more[f"{name}.up"] = dry_run(copies[name], services, facts)
    more |= {f"layer.{number}": ("docker", "diff", each.id) for number, each in enumerate(running)}
    ran = private.run(link, bench(compose.directory, copies, more))
    with understood(link.host.name, "what Compose makes of the new files"):
        return judged(link.host.name, compose, before, candidates, running, ran)


def judged(host: str, compose: Compose, before: Stack, candidates: Mapping[str, Stack],
           running: Sequence[Container], ran: private.Ran) -> Trial:  # fmt: skip
    """The trial from how its commands ended. `running`: the containers whose writable layers were asked for, in order."""
    first = ran.parts["before"]
    if first.exit != 0:
        raise Refused(f"Compose cannot read the project: {first.complaint}", host=host)
    old = model(first, ran.folder, "before", compose.directory)
    wrong = {}
    for name, stack in candidates.items():
        part = ran.parts[name]
        if part.exit != 0:
            wrong[name] = f"Compose refuses the new files: {part.complaint}"
            continue
        new = model(part, ran.folder, name, compose.directory)
        found = difference(old, new, before, stack) or newly_unset(first, part)
        if found:
            wrong[name] = found
    names = {each.name: each.service for each in running}
    renews = {
        name: renewed(ran.parts[f"{name}.up"], names)
        for name in candidates
        if f"{name}.up" in ran.parts and ran.parts[f"{name}.up"].exit == 0
    }
    layers: dict[str, tuple[str, ...]] = {}
    for number, each in enumerate(running):
        layers[each.service] = (*layers.get(each.service, ()), *written(ran.parts[f"layer.{number}"], each.mounts))
    return Trial(wrong, renews, layers)


def dry_run(each: Copy, services: Iterable[str], facts: Facts) -> tuple[str, ...]:
    """The command that says what `up` of a candidate would do to the services that run, at the scale that they have."""
    scales: list[str] = []
    for service in services:
        count = sum(map(runs, facts.containers.get(service, ())))
        if count != 1:
            scales += ["--scale", f"{service}={count}"]
    how = ("up", "--dry-run", "--no-start", "--no-build", "--pull", "never")
    return (
        "docker",
        "compose",
        "--ansi",
        "never",
        "--progress",
        "plain",
        *each.options,
        *how,
        *scales,
        "--",
        *services,
    )


def renewed(said: Part, services: Mapping[str, str]) -> frozenset[str]:
    """The services whose containers a dry run recreates. `services`: container name -> service."""
    text = (said.err + said.out).decode("utf-8", "replace")
    return frozenset(services[name] for name, what in _DRY.findall(text) if what in _RENEWS and name in services)


def written(said: Part, mounts: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """Paths that a container added or changed in its writable layer, without what stands for its mounts."""
    lines = said.out.decode("utf-8", "replace").splitlines() if said.exit == 0 else []
    targets = [target for _, _, target in mounts]
    paths = (line[2:] for line in lines if line[:2] in ("A ", "C "))
    return tuple(path for path in paths if not any(f"{target}/".startswith(f"{path}/") for target in targets))
