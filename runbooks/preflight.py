"""Before the first write: what on a host would spoil a run half way, from what it answered already. A table of checks, pure.

A new check is a function and a line in the table. Which of them only warn is the inventory's `preflight_warn`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from inventory import backups as backup_files
from inventory.backups import Backup
from inventory.errors import InputError
from inventory.values import frozen
from runbooks.ground import Ground, Room
from runbooks.plan_model import HostPlan

SKEW_S = 120.0
"""Seconds that host and controller may differ: as long as a lock may give no sign before it is called stale."""
RESERVE_KIB = 16 * 1024
"""What must be left for journal, commands' output and the services themselves."""
RESERVE_INODES = 200
"""What a run makes besides its files' copies: journal, notes of commands (20 are kept, 5 files each), folders."""
MEMORY_KIB = 128 * 1024
"""What must be available: Compose itself takes about 60 MiB, and two of them run at once while files are tried."""


@frozen
class Wanted:
    """What a host's variables ask for: `backups`, and which checks only warn."""

    backups: tuple[Backup, ...] = ()
    warn: tuple[str, ...] = ()


def clock(_plan: HostPlan, ground: Ground, _wanted: Wanted) -> str:
    """Whether the clocks agree: locks, snapshots and soaks are told apart by them."""
    if abs(ground.skew_s) <= SKEW_S:
        return ""
    side = "ahead" if ground.skew_s > 0 else "behind"
    return f"its clock is {abs(ground.skew_s):.0f} s {side}: set it (timedatectl set-ntp true), then repeat"


def disk(plan: HostPlan, ground: Ground, _wanted: Wanted) -> str:
    """Whether there is room: for every file twice where snapshots are kept, once beside its target, once while it is tried."""
    new = sum(len(file.data or b"") for stage in plan.stages for file in stage.files) // 1024
    old = sum(len(file.data_before or b"") for stage in plan.stages for file in stage.files) // 1024
    for where, what, need in (
        ("state", "its snapshots", RESERVE_KIB + old + new),
        ("project", "new files beside the old", new + 1024),
        ("tmp", "temporary files", new + 1024),
    ):
        kib = ground.rooms.get(where, Room()).kib
        if kib is not None and kib < need:
            return f"only {kib} KiB are free for {what}, {need} are needed: make room, then repeat"
    return ""


def inodes(plan: HostPlan, ground: Ground, _wanted: Wanted) -> str:
    """Whether files can be made: a disk with room and without inodes fails half way."""
    files = sum(len(stage.files) for stage in plan.stages)
    for where, what, need in (
        ("state", "its snapshots", RESERVE_INODES + 4 * files),
        ("project", "new files beside the old", 10 + 3 * files),
        ("tmp", "temporary files", RESERVE_INODES),
    ):
        left = ground.rooms.get(where, Room()).inodes
        if left is not None and left < need:
            return f"only {left} inodes are free for {what}, {need} are needed: remove files (df -i shows where), then repeat"
    return ""


def memory(_plan: HostPlan, ground: Ground, _wanted: Wanted) -> str:
    """Whether Compose can run beside the services."""
    if ground.memory_kib is None or ground.memory_kib >= MEMORY_KIB:
        return ""
    return f"only {ground.memory_kib // 1024} MiB of memory are available, {MEMORY_KIB // 1024} are needed: free some, then repeat"


def tools(_plan: HostPlan, ground: Ground, _wanted: Wanted) -> str:
    """Whether the programs are there that write, undo and repair."""
    if not ground.missing:
        return ""
    return f"{', '.join(ground.missing)} is not there: install coreutils or busybox, then repeat"


def owners(plan: HostPlan, ground: Ground, _wanted: Wanted) -> str:
    """Whether this user could give each file back to its owner."""
    if ground.uid == 0:
        return ""
    for file in plan.files:
        if file.before.sha256 is None:
            continue
        if file.before.uid != ground.uid:
            return f"{file.path} belongs to user {file.before.uid}, whom this user cannot give it back to: set ansible_become: true"
        if file.before.gid not in ground.gids:
            return (
                f"{file.path} belongs to group {file.before.gid}, which this user is not in: set ansible_become: true"
            )
    return ""


def git(_plan: HostPlan, ground: Ground, _wanted: Wanted) -> str:
    """Whether a file that would be written has changes that its git checkout does not know: the next checkout takes them away."""
    if not ground.edited:
        return ""
    return (
        f"{', '.join(ground.edited[:3])} has changes that its git checkout does not know, and a pull or checkout there would "
        "undo what is written: commit them, or write preflight_warn: [git]"
    )


def deploys(_plan: HostPlan, ground: Ground, _wanted: Wanted) -> str:
    """Whether something comes by itself that may overwrite the files."""
    if not ground.deploys:
        return ""
    return f"{ground.deploys[0]} may overwrite the files: stop it for the run, or write preflight_warn: [deploys]"


def backups(plan: HostPlan, ground: Ground, wanted: Wanted) -> str:
    """Whether what holds data was backed up lately, where it is restarted."""
    holding = sorted({restart.service for restart in plan.restarts if restart.holds_data})
    for backup in wanted.backups if holding else ():
        at = ground.backups.get(backup.path, 0)
        age_s = ground.clock - at
        if not at:
            return (
                f"{', '.join(holding)} would be restarted, and there is no backup {backup.path}: back up, then repeat"
            )
        if age_s > backup.within_s:
            return (
                f"{', '.join(holding)} would be restarted, and the newest backup {backup.path} is {age_s / 3600:.1f} h old, "
                f"more than {backup.within_s / 3600:g} h: back up, then repeat"
            )
    return ""


def layers(plan: HostPlan, _ground: Ground, _wanted: Wanted) -> str:
    """Whether a restart would lose what a container has written beside its volumes."""
    for restart in plan.restarts:
        if restart.loses:
            return (
                f"recreating {restart.service} would lose {', '.join(restart.loses[:3])} in its writable layer: "
                "move that into a volume, or add --accept-risk high"
            )
    return ""


Check = Callable[[HostPlan, Ground, Wanted], str]
CHECKS: Mapping[str, Check] = {
    "clock": clock, "disk": disk, "inodes": inodes, "memory": memory, "tools": tools, "owners": owners, "git": git,
    "deploys": deploys, "backups": backups, "layers": layers,
}  # fmt: skip


def wanted(variables: Mapping[str, Any]) -> Wanted:
    """What a host's variables ask for. Raises InputError with the key and "did you mean"."""
    names = variables.get("preflight_warn") or ()
    if not isinstance(names, (list, tuple)):
        raise InputError("must be a list", key="preflight_warn", mend=f"name some of {', '.join(CHECKS)}")
    for name in names:
        if name not in CHECKS:
            near = get_close_matches(str(name), CHECKS, n=1)
            mend = f"did you mean {near[0]}?" if near else f"there are: {', '.join(CHECKS)}"
            raise InputError(f"{name!r} is no check", key="preflight_warn", mend=mend)
    return Wanted(backup_files.parse(variables.get("backups")), tuple(names))


def found(
    plan: HostPlan, ground: Ground, wants: Wanted, accepted: str = "medium"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why a plan must not be carried out on a host as things are, and what is only to be read; a line each, with its mend.

    Nothing where the plan changes nothing. `accepted`: the highest risk that the operator takes without a word.
    """
    if not plan.changed:
        return (), ()
    lines = {name: line for name, check in CHECKS.items() if (line := check(plan, ground, wants))}
    warn = {*wants.warn, *(["layers"] if accepted == "high" else [])}
    blocked = tuple(line for name, line in lines.items() if name not in warn)
    return blocked, (*(line for name, line in lines.items() if name in warn), *_notes(ground))


def _notes(ground: Ground) -> Iterator[str]:
    tracked: Sequence[str] = [posixpath.basename(path) for path in ground.tracked]
    if tracked and not ground.edited:
        yield f"{', '.join(tracked[:3])} is in a git checkout: commit what is written (./inv plan --patch), or a pull undoes it"
