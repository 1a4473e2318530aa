"""Gives every long-running service a health check that was seen to pass, and to fail, in the live container."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from runbooks.compose import splice, units
from runbooks.compose.model import Service, Stack
from runbooks.compose.operations import Operation, SetHealthCheck
from runbooks.model import Altered, Change, Facts, Kept, Proof, Question
from runbooks.steps import catalogue, images
from runbooks.steps.catalogue import RUNTIMES, UNKNOWN, WRONG_PORT, Check, Entry
from runbooks.steps.common import argv, health_probes, must_be_there, refusals

NAME = "health_checks"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "health_checks": (dict, {}, "service -> {test, interval, timeout, retries, start_period}: checks of your own"),
    "interval": (str, "10s", "how often an added check runs"),
    "timeout": (str, "5s", "how long an added check may take"),
    "retries": (int, 5, "failures in a row that make a service unhealthy"),
    "start_interval": (str, "1s", "how often it runs while the service starts (Engine >= 25, Compose >= 2.20.2)"),
}
SLOW_S = 5.0
"""An own check with an interval from here on gains a start_interval; a quicker one loses little by waiting for it."""
LATE = "60s"
"""The start_period for a service with a check of its own and none: failures inside it do not count."""
TIMES = ("interval", "timeout", "start_period", "start_interval")
OWN = ("test", "wrong", "retries", *TIMES)
"""Keys of a check in `health_checks`. `wrong`: a test that must fail, where the tool cannot make one from a port."""


class Candidate(NamedTuple):
    """One check that may fit a service. `wrong` is the same asked of a wrong target; None: it cannot be told apart."""

    number: int
    test: tuple[str, ...]
    wrong: tuple[str, ...] | None
    source: str
    settings: Mapping[str, Any]


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name in TIMES and not units.seconds(value):
        return f"{value!r} is no duration", "write 10s"
    if name == "retries" and value < 1:
        return f"{value!r} is no count", "write 1 or more"
    for service, check in value.items() if name == "health_checks" else ():
        given = check if isinstance(check, Mapping) else {"test": check}
        for key, own in given.items():
            if key not in OWN:
                near = get_close_matches(str(key), OWN, n=1)
                return (
                    f"{service}: {key} is no key of a check",
                    f"did you mean {near[0]}?" if near else f"keys: {', '.join(OWN)}",
                )
            if key in TIMES and not (isinstance(own, str) and units.seconds(own)):
                return f"{service}: {key}: {own!r} is no duration", "write 10s"
            if key == "retries" and (not isinstance(own, int) or isinstance(own, bool) or own < 1):
                return f"{service}: {key}: {own!r} is no count", "write 1 or more"
        for key in ("test", *(("wrong",) if "wrong" in given else ())):
            test = given.get(key)
            words = isinstance(test, list) and len(test) > 1 and test[0] in ("CMD", "CMD-SHELL")
            if not words and not (isinstance(test, str) and test.strip()):
                return (
                    f"{service}: has no {key} that can be run",
                    "write test: a command, or test: [CMD, program, argument]",
                )
    return None


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """For each service without a check: each candidate in its container, and the same against a wrong target."""
    found = []
    for service in without_check(stack, facts):
        for candidate in candidates(service, facts, settings):
            found.append(Question(key(service, candidate, "right"), service.name, argv(candidate.test)))
            if candidate.wrong:
                found.append(Question(key(service, candidate, "wrong"), service.name, argv(candidate.wrong)))
    return tuple(found)


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Adds a proven check to each service without one, and quick first checks to those that have a slow one."""
    must_be_there(stack, "health_checks", settings["health_checks"])
    operations: list[Operation] = []
    altered: dict[str, tuple[str, str, Proof, str]] = {}
    kept: list[Kept] = []
    for service in stack.services.values():
        if not service.active:
            continue
        if images.is_one_shot(stack, service, facts):
            kept.append(Kept(service.name, "health_check", "runs once and ends"))
            continue
        if service.health_check is None or not (service.health_check.test or service.health_check.disabled):
            if images.image_has_check(service, facts):
                kept.append(Kept(service.name, "health_check", "its image brings one"))
                continue
            chosen, reason = choose(service, facts, settings)
            if chosen is None:
                kept.append(Kept(service.name, "health_check", reason, attention=True))
                continue
            # An interval set by hand for a check that was to come with the image stays.
            by_hand = service.value.get("healthcheck") or {}
            rest = {name: value for name, value in chosen.settings.items() if name not in by_hand}
            values = {"test": chosen.test, **rest}
            operations.append(SetHealthCheck(service.name, values, reason))
            altered[service.name] = ("health_check", "none", "proven" if facts.live else "unproven", shown(chosen.test))
        elif service.health_check.disabled:
            kept.append(Kept(service.name, "health_check", "is disabled in the file", attention=True))
        else:
            values = quick_start(service, facts, settings)
            if values:
                quick = "start_interval" in values
                reason = (
                    "the first check need not wait a whole interval"
                    if quick
                    else "failures while it starts do not count"
                )
                operations.append(SetHealthCheck(service.name, values, reason))
                words = ", ".join(f"{name} {value}" for name, value in values.items())
                altered[service.name] = ("start_interval", "none", "not needed", words)
            else:
                kept.append(Kept(service.name, "health_check", "has one"))
    applied = splice.apply(stack, operations)
    refused, failed = refusals(applied, "health_check")
    return Change(
        step=NAME, risk="low", stack=applied.stack, edits=applied.edits, refused=refused, kept=tuple(kept),
        operations=tuple(operation for operation in operations if operation not in failed),
        altered=tuple(
            Altered(
                operation.service, *_place(applied.stack, operation.service), what, before, after, proof, operation.reason
            )
            for operation in operations
            if operation not in failed
            for what, before, proof, after in (altered[operation.service],)
        ),
        probes=health_probes(
            applied.stack, [operation.service for operation in operations if operation not in failed]
        ),
    )  # fmt: skip


def without_check(stack: Stack, facts: Facts) -> Iterator[Service]:
    """Long-running services that have no check, neither their own nor their image's."""
    for service in stack.services.values():
        own = service.health_check is not None and (service.health_check.test or service.health_check.disabled)
        if (
            service.active
            and not own
            and not images.image_has_check(service, facts)
            and not images.is_one_shot(stack, service, facts)
        ):
            yield service


def choose(service: Service, facts: Facts, settings: Mapping[str, Any]) -> tuple[Candidate | None, str]:
    """The first candidate that passes here and fails against a wrong target, or why there is none."""
    options = list(candidates(service, facts, settings))
    if not facts.live:
        known = [option for option in options if not option.source.startswith("by its declared port")]
        if known:
            return known[0], known[0].source
        entry = catalogue.find(service)
        if entry is not None and entry.blind:
            return None, "its image ships no program that could ask it: plan against the live host to be sure"
        if not images.serves(service):
            return None, "its command runs no server, only clients: name a check in health_checks if it has one"
        return None, "no check is known for its image: name one in health_checks, or plan against the live host"
    if not options:
        return None, "no check is known for its image, and it declares no port: name one in health_checks"
    always, failed = 0, 0
    for option in options:
        right, wrong = (
            facts.answers.get(key(service, option, "right")),
            facts.answers.get(key(service, option, "wrong")),
        )
        if right is None or right.exit != 0:
            failed += 1
        elif option.wrong is None or wrong is None or wrong.exit is None or wrong.exit == 0:
            always += 1
        else:
            return option, option.source
    if always:
        return None, "its check passes whatever is asked, so it checks nothing: name a port or path that can fail"
    return None, f"none of {failed} known checks passes in the live container: name one in health_checks"


def candidates(service: Service, facts: Facts, settings: Mapping[str, Any]) -> Iterator[Candidate]:
    """What may be a check of this service, the inventory's own first, then the catalogue's."""
    usual = {"interval": settings["interval"], "timeout": settings["timeout"], "retries": settings["retries"]}
    quick = {"start_interval": settings["start_interval"]} if quick_starts(facts) else {}
    own = settings["health_checks"].get(service.name)
    if own is not None:
        given = own if isinstance(own, Mapping) else {"test": own}
        test = given.get("test", ())
        words = ("CMD-SHELL", test) if isinstance(test, str) else tuple(map(str, test))
        rest = {name: value for name, value in given.items() if name not in ("test", "wrong")}
        wrong = given.get("wrong")
        other = (
            (("CMD-SHELL", wrong) if isinstance(wrong, str) else tuple(map(str, wrong)))
            if wrong
            else misdirected(words)
        )
        yield Candidate(0, words, other, "the inventory's own check", {**usual, "start_period": "30s", **quick, **rest})
        return
    entry, ports = known(service, facts)
    seen: set[tuple[str, ...]] = set()
    for port in ports:
        for check in entry.checks:
            test = check.at(port)
            if test not in seen:
                seen.add(test)
                wrong = check.at(WRONG_PORT)
                yield Candidate(
                    len(seen),
                    test,
                    wrong if wrong != test else None,
                    check.source,
                    {**usual, "start_period": entry.start_period, **quick},
                )


def known(service: Service, facts: Facts) -> tuple[Entry, tuple[int, ...]]:
    """The catalogue's entry for a service's image, and the ports to try, the likeliest first."""
    name, image = images.repository(service.image), images.image_of(service, facts)
    declared = service.ports or (image.ports if image else ())
    entry = catalogue.find(service)
    if entry is not None:
        return entry, catalogue.ports(entry, service, declared, live=facts.live)
    checks: tuple[Check, ...] = RUNTIMES.get(name, UNKNOWN)
    return Entry(0, checks), tuple(declared[:2])


def misdirected(test: tuple[str, ...]) -> tuple[str, ...] | None:
    """The same check asked of a wrong port, when it names one."""
    changed = tuple(re.sub(r"(?<![\w.])\d{2,5}(?![\w.])", str(WRONG_PORT), word) for word in test)
    return changed if changed != test else None


def quick_start(service: Service, facts: Facts, settings: Mapping[str, Any]) -> dict[str, str]:
    """What an own check lacks for a quick first answer; its test and interval stay as they are."""
    check = service.health_check
    if check is None or (check.interval_s if check.interval_s is not None else 30.0) < SLOW_S:
        return {}
    if check.start_period_s == 0:
        return {}  # written by hand, and without a period a start_interval never acts
    missing: dict[str, str] = {}
    if check.start_period_s is None:
        missing["start_period"] = LATE
    if check.start_interval_s is None and quick_starts(facts):
        missing["start_interval"] = str(settings["start_interval"])
    return missing


def quick_starts(facts: Facts) -> bool:
    """Whether the host knows `start_interval`; an engine that does not refuses to start the service (FACTS)."""
    return facts.live and facts.engine >= (25,) and facts.compose >= (2, 20, 2)


def key(service: Service, candidate: Candidate, target: str) -> str:
    return f"{NAME}/{service.name}/{candidate.number}/{target}"


def shown(test: tuple[str, ...]) -> str:
    return " ".join(test[1:])


def _place(stack: Stack, service: str) -> tuple[str, int]:
    check = stack.services[service].health_check
    place = check.place if check else stack.services[service].place
    return place.path, place.line
