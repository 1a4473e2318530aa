"""The way to production: the soak that an environment asks of another before it is migrated, and what is still missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from checks import soak as soaks
from checks.assess import percent
from checks.evidence import RunRecord, Soaks, Store
from checks.soak import Soak
from inventory.durations import duration
from inventory.errors import InputError, Refused
from inventory.model import Inventory
from runbooks import soaking
from runbooks.plan_model import Plan

HOURS, EVERY_S = 48.0, 30.0
"""The proposal's 48 hours, each half minute."""
HOUR_S = 3600.0
SHORTEST_S = 0.2
LONGEST_HOURS = 10 * 366 * 24.0


@dataclass(frozen=True)
class Wanted:
    """How long a soak takes and how often it ticks, in seconds."""

    seconds: float
    every_s: float


@dataclass(frozen=True)
class Requirement:
    """The soak that must have passed: where, and how many seconds long at least."""

    environment: str
    seconds: float


def length(inventory: Inventory, hours: str = "", every: str = "") -> Wanted:
    """A soak's length from the options, else from the inventory's `soak`, else 48 hours each 30 s. Raises InputError."""
    given = setting(inventory, "soak", ("hours", "every"))
    key = "--hours" if hours else "soak.hours"
    seconds = number(hours or given.get("hours", HOURS), inventory.path if not hours else "", key) * HOUR_S
    key = "--every" if every else "soak.every"
    every_s = duration(every or given.get("every", EVERY_S), "" if every else inventory.path, None, key)
    if every_s < SHORTEST_S:
        raise InputError("is shorter than a tick can take", key=key, mend="write 30s")
    if every_s > seconds:
        raise InputError("is longer than the whole soak", key=key, mend="write a longer soak or a shorter interval")
    return Wanted(seconds, every_s)


def required(inventory: Inventory) -> Requirement | None:
    """What an inventory's `requires_soak` asks for. Raises InputError."""
    given = setting(inventory, "requires_soak", ("environment", "hours"))
    if not given:
        return None
    environment = given.get("environment")
    if not isinstance(environment, str) or not environment or environment == inventory.environment:
        raise InputError(
            "names no other environment", path=inventory.path, key="requires_soak.environment", mend="write environment: staging"
        )  # fmt: skip
    return Requirement(environment, number(given.get("hours", HOURS), inventory.path, "requires_soak.hours") * HOUR_S)


def watches(inventory: Inventory) -> bool:
    """Whether an environment goes on being watched after each run: its inventory says how, or it waited for a soak."""
    return bool(setting(inventory, "soak", ("hours", "every"))) or required(inventory) is not None


def setting(inventory: Inventory, name: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """A mapping that the inventory gives to its hosts, all the same. Raises InputError."""
    found = [host.variables[name] for host in inventory.hosts if host.variables.get(name)]
    if not found:
        return {}
    if any(other != found[0] for other in found):
        raise InputError("differs between hosts", path=inventory.path, key=name, mend="write it once, under vars")
    for key in found[0]:
        if key not in keys:
            near = get_close_matches(str(key), keys, n=1)
            mend = f"did you mean {near[0]}?" if near else f"settings: {', '.join(keys)}"
            raise InputError(f"{key} is no setting of it", path=inventory.path, key=name, mend=mend)
    return dict(found[0])


def number(value: Any, path: str, key: str) -> float:
    """Hours. Raises InputError."""
    try:
        hours = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        hours = 0.0
    if not 0 < hours <= LONGEST_HOURS:
        raise InputError(f"{value!r} is no number of hours", path=path, key=key, mend="write 48")
    return hours


def standing(store: Store, environment: str) -> RunRecord | None:
    """The newest run that changed an environment and was not undone since."""
    runs = store.runs(environment=environment, limit=1000)
    backs = [run for run in runs if run.undoes and "undone" in run.hosts.values()]
    for run in runs:
        if (
            run.kind == "migrate"
            and "changed" in run.hosts.values()
            and not any(is_undone(run, back) for back in backs)
        ):
            return run
    return None


def is_undone(run: RunRecord, back: RunRecord) -> bool:
    """Whether a rollback undid a run: that very one, or all back to a snapshot of it or of an earlier one."""
    if back.undoes == run.id:
        return True
    snapshot = re.fullmatch(r"(.+)-\d+", back.undoes)
    return bool(snapshot) and snapshot is not None and snapshot[1] <= run.id and run.started <= back.started


def refusal(store: Store, inventory: Inventory, plan: Plan, now: datetime | None = None) -> Refused | None:
    """Why a plan may not be carried out yet, in one line, and when it could be; None: it may."""
    wanted = required(inventory)
    if wanted is None or not plan.changed:
        return None
    there, at = wanted.environment, now or soaks.now()
    hours = f"{wanted.seconds / HOUR_S:g} h"
    begin = f"{plan.environment} needs a passed soak of {hours} on {there} with this very plan"
    earliest = f"it could be there on {moment(at + timedelta(seconds=wanted.seconds))}"
    run = standing(store, there)
    if run is None or run.promotion_key != plan.promotion_key:
        what = (
            f"{there} was not migrated with it" if run is None else f"{there} stands with another plan (run {run.id})"
        )
        return Refused(f"{begin}: {what}", mend=f"./inv migrate --phase {plan.phase} --env {there}, then ./inv soak.start --env {there}; {earliest}")  # fmt: skip
    fitting = [
        soaking.ended(store, soak)
        for soak in Soaks(store).all(environment=there)
        if soak.promotion_key == plan.promotion_key and soak.run == run.id
    ]
    if any(soak.outcome == "pass" and soak.seconds >= wanted.seconds - 1e-6 for soak in fitting):
        return None
    if not fitting:
        return Refused(f"{begin}: none was begun", mend=f"./inv soak.start --env {there}; {earliest}")
    last = fitting[0]
    found = soaking.assessed(store, last, None if last.state != "running" else at)
    again = f"./inv soak.start --env {there} --hours {wanted.seconds / HOUR_S:g}; {earliest}"
    if last.state != "running":
        short = last.outcome == "pass"
        why = f"it took {last.seconds / HOUR_S:g} h" if short else f"{last.outcome}: {last.reason}"
        return Refused(f"{begin}: {last.id} is not it ({why})", mend=again)
    if last.seconds < wanted.seconds - 1e-6:
        return Refused(f"{begin}: {last.id} takes {last.seconds / HOUR_S:g} h", mend=f"./inv soak.stop --env {there}, then {again}")  # fmt: skip
    so_far = f"{last.id} goes on, with a coverage of {percent(found.coverage)} so far"
    if found.outcome == "fail":
        return Refused(f"{begin}: {last.id} fails: {found.reason}", mend=f"mend that, then {again}")
    return Refused(f"{begin}: {so_far}", mend=f"it could be there on {moment(max(last.end, at + timedelta(seconds=found.still_s)))}")  # fmt: skip


def overrides(store: Store, soak: Soak) -> tuple[tuple[str, str], ...]:
    """The runs on a soak's environment that passed over what its inventory asks for: (run, reason)."""
    runs = store.runs(environment=soak.environment, limit=1000)
    return tuple((run.id, run.override) for run in runs if run.override)


def moment(at: datetime) -> str:
    """A time as people read it here, with its zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M %Z")
