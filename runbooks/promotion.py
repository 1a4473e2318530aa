"""The way to production: the soak that an environment asks of another before it is migrated, and what is still missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from checks import soak as soaks
from checks.assess import percent
from checks.evidence import RunRecord, Soaks, Store
from checks.soak import Soak
from inventory.errors import InputError, Refused
from inventory.model import Inventory
from inventory.soaks import Requirement, Wanted, no_other, requirement, soak_length
from runbooks import soaking
from runbooks.plan_model import Plan

HOUR_S = 3600.0


def length(inventory: Inventory, hours: str = "", every: str = "") -> Wanted:
    """A soak's length from the options, else from the inventory's `soak`, else 48 hours each 30 s. Raises InputError."""
    return soak_length(setting(inventory, "soak"), inventory.path, hours=hours, every=every)


def required(inventory: Inventory) -> Requirement | None:
    """What an inventory's `requires_soak` asks for. Raises InputError."""
    given = setting(inventory, "requires_soak")
    if not given:
        return None
    found = requirement(given, inventory.path)
    if found.environment == inventory.environment:
        raise no_other(inventory.path)
    return found


def watches(inventory: Inventory) -> bool:
    """Whether an environment goes on being watched after each run: its inventory says how, or it waited for a soak."""
    return bool(setting(inventory, "soak")) or required(inventory) is not None


def setting(inventory: Inventory, name: str) -> Mapping[str, Any]:
    """A mapping that the inventory gives to its hosts, all the same. Raises InputError."""
    found = [host.variables[name] for host in inventory.hosts if host.variables.get(name)]
    if any(other != found[0] for other in found):
        raise InputError("differs between hosts", path=inventory.path, key=name, mend="write it once, under vars")
    return dict(found[0]) if found else {}


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
    """Whether a rollback undid a run: that very one, all back to a snapshot of it or of an earlier one, or an earlier run
    on all hosts that this one changed, which no rollback does without what came later there."""
    if back.undoes == run.id:
        return True
    changed = {host for host, ending in run.hosts.items() if ending == "changed"}
    undone = {host for host, ending in back.hosts.items() if ending == "undone"}
    if back.undoes < run.id and run.started <= back.started and changed <= undone:
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
