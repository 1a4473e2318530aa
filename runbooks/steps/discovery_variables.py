"""Says in `.env` where services live and what their passwords are; Compose files only name them (the proposal's 2.2)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from inventory.errors import InputError
from inventory.secrets import NAMES
from runbooks import secret_text
from runbooks.compose import environment, project, splice
from runbooks.compose.model import Place, Stack
from runbooks.compose.operations import Operation, ReferText, ReplaceText
from runbooks.model import HOST, Altered, Change, Facts, Kept, Proof, Question, Refusal
from runbooks.steps import bounds, literals
from runbooks.steps.common import health_probes, refusals
from runbooks.steps.literals import Found

NAME = "discovery_variables"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "service_locations": (dict, {}, "service -> the host where it lives, if not in this stack"),
    "service_variables": (dict, {}, "service -> the variable that says where it lives, else SERVICE_SERVICE"),
    "discovery_exclude": (list, [], "services whose variables stay as they are"),
    "env_file_mode": (str, "0600", "permissions of the .env that takes passwords, or keep"),
}
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ADDRESS = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
PRIVATE = 0o600


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "env_file_mode" and value not in ("0600", "0640", "keep"):
        return f"{value!r} is no mode for a file of passwords", "write '0600', '0640' or keep"
    for service, given in value.items() if name in ("service_locations", "service_variables") else ():
        if name == "service_locations" and not (isinstance(given, str) and ADDRESS.fullmatch(given)):
            return f"{service}: {given!r} is no host", "write a host's name or IPv4 address, without scheme and port"
        if name == "service_variables" and not (isinstance(given, str) and WORD.fullmatch(given)):
            return f"{service}: {given!r} is no name of a variable", "write letters, digits and _"
    return None


@dataclass
class Work:
    """What is to be done with a stack. `names` are those that the env file gets, with what they mean."""

    stack: Stack
    settings: Mapping[str, Any]
    operations: list[ReferText | ReplaceText] = field(default_factory=list)
    kinds: dict[Operation, Found] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The project's env file that takes new names: the last, as it wins."""
        return posixpath.normpath(posixpath.join(self.stack.spec.directory, self.stack.spec.env_files[-1]))

    @property
    def bound(self) -> Mapping[str, environment.Bound]:
        return project.tree(self.stack).scope.bound


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Whether git would show the env file, and whether those who are to use another host can find it."""
    work = planned(stack, settings)
    if not work.operations:
        return ()
    folder, file = posixpath.split(work.path)
    found = [Question(f"{NAME}/git", HOST, ("git", "-C", folder, "check-ignore", "-q", file))]
    for service, host in moves(work):
        found.append(Question(f"{NAME}/{service}/{host}", service, ("getent", "ahosts", host), {}, 10.0))
    return tuple(found)


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """References in place of hosts and passwords. What each variable means stays, but for services that live elsewhere.

    Raises InputError for a service that is not there.
    """
    work = planned(stack, settings)
    unknown = {
        service: said
        for service, host in moves(work)
        if (said := not_found(facts, service, host))
    }  # fmt: skip
    for service, said in unknown.items():
        place = stack.services[service].place
        work.refused.append(Refusal(service, place.path, place.line, "service_host", said, "mend its name service, or service_locations"))  # fmt: skip
    if unknown:
        work.operations, work.names = [], {}
    applied = splice.apply(stack, work.operations)
    told, failed = refusals(applied, "service_host")
    done = [operation for operation in work.operations if operation not in failed]
    if done and failed:
        # A name that only served what could not be done is not wanted: without it the rest is made anew.
        applied = splice.apply(stack, done)
    new = {name: text for name, text in work.names.items() if name in project.tree(applied.stack).scope.bound}
    touched = sorted({operation.service for operation in done})
    secret = any(work.kinds[operation].kind == "secret" for operation in done)
    modes = {work.path: mode} if new and (mode := private(work, secret)) else {}
    return Change(
        step=NAME, risk="high", stack=applied.stack, edits=applied.edits, operations=tuple(done),
        kept=tuple(dict.fromkeys(work.kept)), refused=(*dict.fromkeys(work.refused), *told), modes=modes,
        altered=(*lines(work, applied.stack, new), *(altered(work, applied.stack, each, facts) for each in done)),
        notes=tuple(notes(work, facts, new, modes)) if done else (),
        probes=health_probes(applied.stack, touched),
    )  # fmt: skip


def private(work: Work, secret: bool) -> int | None:
    """The mode that the env file gets: one that is made is private, one that takes no password stays as it is."""
    there, mode = work.path in work.stack.files, work.settings["env_file_mode"]
    if there and (not secret or mode == "keep"):
        return None
    return PRIVATE if mode == "keep" else int(mode, 8)


def planned(stack: Stack, settings: Mapping[str, Any]) -> Work:
    """What is to be done. Raises InputError for a service that is not there."""
    for key in ("service_locations", "service_variables", "discovery_exclude"):
        for name in settings[key]:
            if name not in stack.services:
                raise InputError(f"there is no service {name}", key=key, mend=bounds.near(str(name), tuple(stack.services)))  # fmt: skip
    work = Work(stack, settings)
    moved(work)
    texts = [data.decode("utf-8", "replace") for path, data in stack.files.items() if path != work.path]
    spelled = {secret for text in texts for secret in secret_text.bare(text)}
    for service in stack.services.values():
        if service.active and service.name not in settings["discovery_exclude"]:
            for found in literals.find(stack, service):
                literal(work, found)
            if spelled.intersection(secret_text.bare(" ".join(service.command or ()))):
                work.kept.append(Kept(service.name, "secret", "its command holds a password: write ${NAME} there by hand", True))  # fmt: skip
    refuse_takers(work)
    return work


def refuse_takers(work: Work) -> None:
    """Nothing gets a name where some service has the whole env file as its environment: it would get that too."""
    takers = whole_takers(work)
    if takers and work.names:
        place = work.stack.services[takers[0]].place
        work.refused = [Refusal(
            takers[0], place.path, place.line, "service_host",
            f"{posixpath.basename(work.path)} is its env_file too, so that it would get every new name as a variable of its own",
            "give it an env_file of its own first",
        )]  # fmt: skip
        work.operations, work.names = [], {}


def literal(work: Work, found: Found) -> None:
    """One host or password: a reference in its place, where it stands in the Compose file itself."""
    variable = work.stack.services[found.service].environment[found.variable]
    stands = literals.written(variable, found)
    if stands == "elsewhere":
        work.kept.append(Kept(found.service, found.kind, f"{found.variable} stands in an env_file, which is one place already"))  # fmt: skip
    if stands != "literal":
        return
    text = found.text
    if found.kind == "service_host":
        text = work.settings["service_locations"].get(found.target, found.text)
        names = [location_name(work.settings, found.target)]
    else:
        names = secret_names(work, found)
    name = next((name for name in names if fits(work, name, text)), "")
    if not name:
        what = "another value" if found.kind == "secret" else "another host"
        work.refused.append(Refusal(
            found.service, variable.place.path, variable.place.line, found.kind,
            f"{names[0]} is taken already and says {what}",
            f"set service_variables: {{{found.target}: OTHER_NAME}}" if found.kind == "service_host" else "rename one of the two",
        ))  # fmt: skip
        return
    if name not in work.bound:
        work.names[name] = text
    reason = f"{name} in {posixpath.basename(work.path)} says where {found.target} lives" if found.kind == "service_host" else f"a password belongs in {posixpath.basename(work.path)}"  # fmt: skip
    operation = ReferText(found.service, found.variable, found.start, found.end, text, name, reason)
    work.operations.append(operation)
    work.kinds[operation] = found


def moved(work: Work) -> None:
    """Services that are said to live elsewhere than their variable says: its value is changed, for all who use it."""
    for service, host in work.settings["service_locations"].items():
        bound = work.bound.get(location_name(work.settings, service))
        if bound is None or bound.place is None or bound.value == host or not bound.spans:
            continue
        place, first, last = bound.place, bound.spans[0].from_byte, bound.spans[-1].to_byte
        for user in work.stack.services.values():
            for variable in user.environment.values():
                own = [span for span in variable.spans if span.path == place.path and first <= span.from_byte < last]
                if own:
                    start, end = own[0].start, own[-1].end
                    operation = ReplaceText(
                        user.name, variable.name, start, end, host, reason=f"{service} lives on {host}"
                    )
                    work.operations.append(operation)
                    work.kinds[operation] = Found("service_host", user.name, variable.name, start, end, bound.value, service)  # fmt: skip


def moves(work: Work) -> list[tuple[str, str]]:
    """Who would use a host that is not the one of today: (service, host)."""
    found = [(each.service, each.text) for each in work.operations if work.kinds[each].kind == "service_host" and each.text != work.kinds[each].text]  # fmt: skip
    return list(dict.fromkeys(found))


def not_found(facts: Facts, service: str, host: str) -> str:
    """Why a service cannot use a host; empty where it can, or where it has nothing to find out with."""
    answer = facts.answers.get(f"{NAME}/{service}/{host}")
    known = answer is None or answer.exit in (None, 0, 126, 127)
    return "" if known else f"{host} is not found from {service}"


def location_name(settings: Mapping[str, Any], service: str) -> str:
    given: str = settings["service_variables"].get(service, "")
    return given or shouted(service) + "_SERVICE"


def shouted(name: str) -> str:
    """A service's name as a variable's."""
    made = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return f"_{made}" if made[:1].isdigit() else made


def secret_names(work: Work, found: Found) -> list[str]:
    """What a password may be called, best first: the name that it has already, its variable's, the service's."""
    variable = shouted(found.variable)
    whole = work.stack.services[found.service].environment[found.variable].value == found.text
    known = [name for name, text in work.names.items() if text == found.text and not name.endswith("_SERVICE")]
    known += [name for name, bound in work.bound.items() if bound.value == found.text and bound.place and NAMES.search(name)]  # fmt: skip
    own = [variable, f"{shouted(found.service)}_{variable}"] if whole else []
    target = shouted(found.target)
    inside = [] if whole else [f"{target}_PASSWORD", f"{target}_PASSWORD_IN_URL", f"{shouted(found.service)}_{target}_PASSWORD"]  # fmt: skip
    return [*known, *own, *inside]


def fits(work: Work, name: str, text: str) -> bool:
    """Whether a name means this text, or nothing yet. One that the shell sets, or that some file names already, does not."""
    if name in work.names:
        return work.names[name] == text
    bound = work.bound.get(name)
    if bound is not None:
        return bound.value == text and bound.place is not None
    used = re.compile(rb"(?<!\$)\$\{?" + name.encode() + rb"(?![A-Za-z0-9_])")
    return not any(used.search(data) for data in work.stack.files.values())


def whole_takers(work: Work) -> list[str]:
    """The services whose environment is the whole env file."""
    return [
        service.name
        for service in work.stack.services.values()
        if any(each.source == "env_file" and each.place.path == work.path for each in service.environment.values())
    ]


def lines(work: Work, after: Stack, new: Mapping[str, str]) -> Iterator[Altered]:
    """The lines of the env file, as people see them."""
    bound = project.tree(after).scope.bound
    for name, text in new.items():
        place = bound[name].place or Place(work.path, 1)
        yield Altered("", place.path, place.line, "env_file", "none", f"{name}={text}", "not needed", "what Compose files refer to")  # fmt: skip


def altered(work: Work, after: Stack, operation: ReferText | ReplaceText, facts: Facts) -> Altered:
    """One reference, or one host that changes."""
    found = work.kinds[operation]
    old = work.stack.services[found.service].environment[found.variable]
    new = after.services[found.service].environment[found.variable]
    stays = operation.text == found.text
    before, text = (old.raw, new.raw) if stays else (old.value or "", new.value or "")
    answer = facts.answers.get(f"{NAME}/{found.service}/{operation.text}")
    proof: Proof = "not needed" if stays else "proven" if answer is not None and answer.exit == 0 else "unproven"
    return Altered(found.service, new.place.path, new.place.line, found.kind, f"{found.variable}={before}", f"{found.variable}={text}", proof, operation.reason)  # fmt: skip


def notes(work: Work, facts: Facts, new: Mapping[str, str], modes: Mapping[str, int]) -> Iterator[str]:
    """What an operator should know of the env file."""
    file = posixpath.basename(work.path)
    answer = facts.answers.get(f"{NAME}/git")
    if new and answer is not None and answer.exit == 1:
        yield f"git would show {file}: name it in .gitignore before anything is committed"
    elif new and answer is None:
        yield f"see that git does not show {file}: it belongs in .gitignore"
    for path, mode in modes.items():
        yield f"{posixpath.basename(path)} becomes {mode:04o}: who runs Compose here must be its owner, or root" + (" or of its group" if mode & 0o040 else "")  # fmt: skip
    for service in dict.fromkeys(
        work.kinds[each].target for each in work.operations if work.kinds[each].text != each.text
    ):
        yield f"{service} itself goes on running here: stop it when nothing needs it any more"
