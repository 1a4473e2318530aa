"""Gives services the limits of the environment's profile, where the host has room for them and nobody would be killed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from checks.model import Probe
from inventory.errors import InputError
from runbooks.compose import splice, units
from runbooks.compose.model import Service, Stack
from runbooks.compose.operations import SetSetting
from runbooks.model import HOST, Altered, Change, Facts, Kept, Question, Refusal
from runbooks.steps import bounds, images
from runbooks.steps.bounds import Key
from runbooks.steps.common import health_probes, refusals

NAME = "resource_profiles"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "resource_profile": (str, "", "the profile that holds here; without one nothing is changed"),
    "resource_profiles": (dict, {}, "profile -> limits and reservations, each of cpus and memory"),
    "resource_overrides": (dict, {}, "service -> limits and reservations of its own, or keep"),
    "resource_fit": (str, "refuse", "refuse or shrink: what to do where the host has too little"),
    "memory_margin": (str, "10%", "memory that stays the host's own: a share or a size"),
}
STATS = ("docker", "stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.MemUsage}}")
LIMIT, RESERVED, CPUS = ("limits", "memory"), ("reservations", "memory"), ("limits", "cpus")
STEP = 16 << 20
"""Bytes: shrunk limits are multiples of this."""
ROOM = 1.25
"""A shrunk limit is at least so much of what the service uses now."""


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "resource_fit" and value not in ("refuse", "shrink"):
        return f"{value!r} is no way to fit", "write refuse or shrink"
    if name == "memory_margin" and margin(value, 1) is None:
        return f"{value!r} is neither a share nor a size", "write 10% or 512M"
    if name in ("resource_profiles", "resource_overrides"):
        for key, given in value.items():
            if name == "resource_overrides" and given == "keep":
                continue
            found = bounds.problem(str(key), given)
            if found:
                return found
    return None


def margin(text: str, memory: int) -> int | None:
    """Bytes that a margin comes to on a host of so many; None for what is no margin."""
    if text.endswith("%"):
        share = text[:-1].strip()
        return int(memory * int(share) / 100) if share.isdigit() and int(share) < 100 else None
    return units.size(text)


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """How much memory each container uses now: the engine's own `docker stats`."""
    if not settings["resource_profile"] and not settings["resource_overrides"]:
        return ()
    return (Question(f"{NAME}/stats", HOST, STATS, timeout_s=20.0),)


@dataclass
class _Goal:
    """What a service is to have. `own`: the keys that the inventory names for this very service."""

    service: Service
    count: int
    now: dict[Key, str]
    then: dict[Key, str]
    own: frozenset[Key] = frozenset()
    uses: int | None = None
    refused: list[tuple[str, str]] = field(default_factory=list)

    def bytes(self, key: Key) -> int:
        return int(bounds.amount(key, self.then[key]) or 0) * self.count if key in self.then else 0

    @property
    def changed(self) -> list[Key]:
        return [
            key
            for key, text in self.then.items()
            if bounds.amount(key, self.now.get(key, "")) != bounds.amount(key, text)
        ]


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Sets limits and reservations. Larger ones set by hand stay; what does not fit is refused with the sum.

    Raises InputError for a profile or a service that is not there.
    """
    name, profiles, overrides = (settings[key] for key in ("resource_profile", "resource_profiles", "resource_overrides"))  # fmt: skip
    if not name and not overrides:
        return Change(step=NAME, risk="low", stack=stack, kept=(Kept("", "resources", "no resource_profile is set"),))
    if name and name not in profiles:
        raise InputError(f"there is no profile {name}", key="resource_profile", mend=bounds.near(name, tuple(profiles)))
    for service in overrides:
        if service not in stack.services:
            mend = bounds.near(service, tuple(stack.services))
            raise InputError(f"there is no service {service}", key="resource_overrides", mend=mend)
    kept: list[Kept] = []
    wanted = bounds.parse(profiles.get(name, {}))
    used = usage(facts)
    goals = [goal(service, wanted, overrides.get(service.name, {}), facts, used, kept) for service in stack.services.values()
             if service.active and not images.is_one_shot(stack, service, facts)
             and (not images.added(service) or service.name in overrides)]  # fmt: skip
    refused: list[Refusal] = []
    if facts.live:
        refused = fitted(goals, facts, settings, kept)
    for each in goals:
        for reason, mend in each.refused:
            refused.append(Refusal(each.service.name, each.service.place.path, each.service.place.line, "resources", reason, mend))  # fmt: skip
    whole = any(refusal.service == "" for refusal in refused)
    operations = [
        SetSetting(each.service.name, bounds.path(each.service, key), each.then[key], f"the profile {name}" if key not in each.own else "the inventory's word")
        for each in goals if not each.refused and not whole for key in each.changed
    ]  # fmt: skip
    applied = splice.apply(stack, operations)
    told, failed = refusals(applied, "resources")
    done = [operation for operation in operations if operation not in failed]
    changed = dict.fromkeys(operation.service for operation in done)
    by_name = {each.service.name: each for each in goals}
    return Change(
        step=NAME, risk="low", stack=applied.stack, edits=applied.edits, operations=tuple(done), kept=tuple(kept),
        refused=(*refused, *told), notes=notes(by_name[each] for each in changed),
        altered=tuple(altered(by_name[each.service], each, applied.stack, facts) for each in done),
        probes=(*health_probes(applied.stack, changed), *(probe(by_name[each]) for each in changed)),
    )  # fmt: skip


def usage(facts: Facts) -> dict[str, int]:
    """Bytes that each container (by its id) uses now, without the file cache that the engine leaves out, too."""
    answer = facts.answers.get(f"{NAME}/stats")
    found = {}
    for line in answer.output.splitlines() if answer and answer.exit == 0 else ():
        words = line.split()
        size = units.size(words[1]) if len(words) > 1 else None
        if size is not None:
            found[words[0]] = size
    return found


def goal(service: Service, wanted: Mapping[Key, str], override: Any, facts: Facts, used: Mapping[str, int], kept: list[Kept]) -> _Goal:  # fmt: skip
    """What one service is to have: the profile, over it what the inventory says; a larger limit set by hand stays."""
    now = {key: text for key in bounds.KEYS if (text := bounds.current(service, key)) is not None}
    running = [each for each in facts.containers.get(service.name, ()) if each.state == "running" and not each.one_off]
    sizes = [used[each.id] for each in running if each.id in used]
    own = {} if override == "keep" else bounds.parse(override)
    made = _Goal(service, max(1, len(running)), now, dict(now), frozenset(own), max(sizes, default=None))
    if override == "keep":
        kept.append(Kept(service.name, "resources", "resource_overrides says keep"))
        return made
    for key, text in {**wanted, **own}.items():
        have, want = bounds.amount(key, now.get(key, "")), bounds.amount(key, text) or 0
        if have is not None and have > want and key not in own:
            kept.append(Kept(service.name, ".".join(key), f"{now[key]}, set by hand, is larger than {text}"))
        elif have != want:
            made.then[key] = text
    for name in ("cpus", "memory"):
        limit, reserved = ("limits", name), ("reservations", name)
        if limit in made.then and reserved in made.then and (bounds.amount(reserved, made.then[reserved]) or 0) > (bounds.amount(limit, made.then[limit]) or 0):  # fmt: skip
            made.then[reserved] = made.then[limit]
    return made


def fitted(goals: list[_Goal], facts: Facts, settings: Mapping[str, Any], kept: list[Kept]) -> list[Refusal]:
    """Fits goals to the host where the inventory says so, else refuses. A refusal without a service is of all."""
    shrink = settings["resource_fit"] == "shrink"
    room = facts.memory - (margin(settings["memory_margin"], facts.memory) or 0)
    for each in goals:
        cpus = bounds.amount(CPUS, each.then.get(CPUS, "")) or 0
        if CPUS in each.changed and facts.cpus and cpus > facts.cpus:
            if shrink:
                kept.append(Kept(each.service.name, "limits.cpus", f"{each.then[CPUS]} fitted to the host's {facts.cpus:g} CPUs"))  # fmt: skip
                each.then[CPUS] = f"{facts.cpus:g}"
                if (bounds.amount(CPUS, each.then.get(("reservations", "cpus"), "")) or 0) > facts.cpus:
                    each.then["reservations", "cpus"] = each.then[CPUS]
            else:
                each.refused.append((f"the engine refuses {each.then[CPUS]} CPUs on a host of {facts.cpus:g}", "set resource_fit: shrink, or override it"))  # fmt: skip
    if shrink and sum(each.bytes(LIMIT) for each in goals) > room:
        shrunk(goals, room, kept)
    for each in goals:
        limit = bounds.amount(LIMIT, each.then.get(LIMIT, "")) or 0
        if LIMIT in each.changed and each.uses is not None and each.uses >= limit:
            each.refused.append((f"would be killed: it uses {bounds.shown(each.uses)} now, and its limit would be {each.then[LIMIT]}", "override it with more, or keep"))  # fmt: skip
    place = goals[0].service.place if goals else None
    for key, what in ((LIMIT, "memory limits"), (RESERVED, "memory reservations")):
        total = sum(each.bytes(key) for each in goals)
        if place and total > room and any(key in each.changed for each in goals):
            return [Refusal("", place.path, place.line, "resources", f"the {what} come to {bounds.shown(total)}, and the host has "
                            f"{bounds.shown(facts.memory)} with a margin of {settings['memory_margin']}: {bounds.shown(total - room)} too much",
                            "take a smaller profile, override single services, or set resource_fit: shrink")]  # fmt: skip
    return []


def shrunk(goals: list[_Goal], room: int, kept: list[Kept]) -> None:
    """Lowers the limits that the profile raises, all by the same share, never under what is there or in use."""
    movable = [each for each in goals if LIMIT in each.changed and LIMIT not in each.own]
    whole = sum(each.bytes(LIMIT) for each in movable)
    rest = sum(each.bytes(LIMIT) for each in goals) - whole
    for each in movable:
        before = each.then[LIMIT]
        size = int((bounds.amount(LIMIT, before) or 0) * max(0.0, (room - rest) / whole)) // STEP * STEP
        least = max(int(bounds.amount(LIMIT, each.now.get(LIMIT, "")) or 0), int((each.uses or 0) * ROOM), 4 * STEP)
        if size < (bounds.amount(LIMIT, each.now.get(LIMIT, "")) or 0):
            each.then[LIMIT] = each.now[LIMIT]
        else:
            each.then[LIMIT] = bounds.shown(-(-max(size, least) // (1 << 20)) << 20)
        if RESERVED in each.then and each.bytes(RESERVED) > each.bytes(LIMIT):
            each.then[RESERVED] = each.then[LIMIT]
        kept.append(Kept(each.service.name, "limits.memory", f"{before} fitted to the host: {each.then[LIMIT]}"))


def notes(changed: Iterable[_Goal]) -> tuple[str, ...]:
    """What of it does less than one would think."""
    keys = {key for each in changed for key in each.changed}
    found = []
    if ("reservations", "cpus") in keys:
        found.append("Compose ignores reservations.cpus (Swarm alone reads it): it is written, and has no effect here")
    if RESERVED in keys:
        found.append("a memory reservation is soft: it counts only while the host is short of memory")
    return tuple(found)


def altered(goal: _Goal, operation: SetSetting, after: Stack, facts: Facts) -> Altered:
    """One bound as people and JSON see it."""
    key = next(key for key in goal.changed if bounds.path(goal.service, key) == operation.path)
    place = after.services[goal.service.name].place
    word = ".".join(key)
    proof = "not needed" if key != LIMIT else "proven" if facts.live and goal.uses is not None else "unproven"
    return Altered(goal.service.name, place.path, place.line, "resources", f"{word}={goal.now.get(key, 'none')}",
                   f"{word}={goal.then[key]}", proof, operation.reason)  # type: ignore[arg-type]  # fmt: skip


def probe(goal: _Goal) -> Probe:
    """Whether the engine holds the service to its new bounds."""
    names = {CPUS: "cpus", LIMIT: "memory", RESERVED: "reservation"}
    wanted = {names[key]: f"{bounds.amount(key, goal.then[key]):g}" if key == CPUS else str(int(bounds.amount(key, goal.then[key]) or 0))
              for key in names if key in goal.then}  # fmt: skip
    return Probe("limits", f"limits:{goal.service.name}", goal.service.name, wanted)
