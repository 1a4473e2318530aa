"""Reads a host: the stack from the bytes of its files, and the facts that only the live host knows.

One exchange reads everything; a second follows only for files that the Compose files name (`include`, `extends`,
`env_file`). `file_stack` reads a stack from local files, without a host.
"""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from inventory.engine import Compose, absolute
from inventory.errors import HostFailed, InputError, RunbookError
from inventory.link import Link
from inventory.model import Host
from inventory.once import Once
from inventory.replies import understood
from inventory.secrets import Mask
from inventory.values import frozen
from rollback.model import FileState
from runbooks import survey_facts
from runbooks.compose import project
from runbooks.compose.model import ProjectSpec, Stack
from runbooks.learning import learn
from runbooks.model import NO_FACTS, Container, Facts
from runbooks.programs import Answers, Part, answers, path_line, program
from runbooks.survey_checks import agree, check, check_folder, check_rendered, parsed
from runbooks.survey_files import COMPOSE_FILES, OVERRIDES, ROUNDS, default_files, file_stack, project_name

__all__ = ["Survey", "file_stack", "states_of", "survey"]
_STACKS: Once[Stack] = Once()
"""Stacks by the content of their files: most hosts of a fleet have the same."""


@frozen
class Survey:
    """What a host was found to be.

    `states` are all files that were read or looked for. `dry_run` is what bringing up the services that run would do,
    as Compose says it. `strangers` are containers that were started from the same folder under another project's
    name. `ready_s`: seconds from start to health, of services where the engine still knows it.
    """

    host: Host
    stack: Stack
    facts: Facts
    compose: Compose
    states: Mapping[str, FileState]
    dry_run: Part = field(default_factory=lambda: Part(0, b""))
    strangers: tuple[Container, ...] = ()
    ready_s: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    exchanges: int = 0


def survey(link: Link, host: Host, mask: Mask, *, engine: bool = True) -> Survey:
    """Reads a host's project. The mask learns every secret that is found. Without `engine` only files are read.

    Raises InputError for what cannot be read, Refused for an engine or Compose that is too old, Unreachable.
    """
    begin, exchanges = time.monotonic(), link.exchanges
    wanted = host.project
    named = tuple(absolute(wanted, path) for path in wanted.compose_files)
    env_files = tuple(absolute(wanted, path) for path in wanted.env_files)
    defaults = [] if named else [f"{wanted.directory}/{name}" for name in (*COMPOSE_FILES, *OVERRIDES)]
    first = [*(named or defaults), *(env_files or [f"{wanted.directory}/.env"])]
    options = _options(named, env_files, wanted.profiles)
    found = _read(link, host, [wanted.directory, *([wanted.name or "", *options] if engine else ["--files"])], first)
    check_folder(host, found)
    with understood(host.name, "what docker says"):
        facts, strangers, ready_s, name = _facts(host, found) if engine else (NO_FACTS, (), {}, "")
    compose_files = named or default_files(wanted.directory, found.files, host.name)
    for path in defaults:
        if path not in compose_files:
            _drop(found, path)
    spec = ProjectSpec(
        directory=wanted.directory,
        name=name or wanted.name or project_name(posixpath.basename(wanted.directory)),
        compose_files=compose_files,
        env_files=env_files or (".env",),
        profiles=wanted.profiles,
    )
    try:
        stack = _load(link, host, spec, found)
        given = stack.value.get("name")
        if not (engine or wanted.name) and isinstance(given, str) and given != spec.name:
            stack = _load(link, host, replace(spec, name=given), found)
    except RunbookError as error:
        error.host = error.host or host.name
        raise
    if engine:
        with understood(host.name, "what Compose says"):
            check_rendered(host, found)
        facts = replace(facts, images=_also_as_named(facts, stack))
    learn(mask, stack, facts)
    if engine:
        with understood(host.name, "Compose's model of the project"):
            agree(stack, facts.rendered, host.name)
    compose = Compose(wanted.directory, stack.spec.name, compose_files, env_files, wanted.profiles)
    return Survey(
        host, stack, facts, compose, found.states, found.parts.get("dry_run", Part(0, b"")), strangers, ready_s,
        time.monotonic() - begin, link.exchanges - exchanges,
    )  # fmt: skip


def states_of(link: Link, host: Host, paths: Iterable[str]) -> Mapping[str, FileState]:
    """The states of more files of a project, in one exchange. Raises HostFailed, Unreachable, InputError."""
    return _read(link, host, [host.project.directory, "--files"], paths).states


def _options(files: Iterable[str], env_files: Iterable[str], profiles: Iterable[str]) -> list[str]:
    words = []
    for flag, values in (("-f", files), ("--env-file", env_files), ("--profile", profiles)):
        for value in values:
            words += [flag, value]
    return words


def _read(link: Link, host: Host, arguments: Sequence[str], paths: Iterable[str]) -> Answers:
    data = "".join(path_line(path) for path in paths).encode("utf-8", "surrogateescape")
    reply = link.run(program("survey"), *arguments, data=data, timeout_s=120.0, become=host.become)
    if reply.exit != 0:
        raise HostFailed(
            f"it could not be read: {reply.complaint}", host=host.name,
            mend="see that sh, coreutils or busybox, and a writable /tmp are there",
        )  # fmt: skip
    return answers(reply.out, host.name)


def _drop(found: Answers, path: str) -> None:
    """Forgets a file that Compose does not look at."""
    found.states.pop(path, None)
    found.files.pop(path, None)


def _facts(host: Host, found: Answers) -> tuple[Facts, tuple[Container, ...], dict[str, float], str]:
    """The facts, containers of other projects from this folder, known start-up times, and the project's name."""
    check(host, found)
    rendered = parsed(found, "config", {})
    name = str(rendered.get("name") or host.project.name or "")
    raw = parsed(found, "containers", [])
    every = [survey_facts.container(each) for each in raw]
    own = [each for each in every if each.project == name]
    ready = {
        each.service: seconds
        for each, source in zip(every, raw, strict=True)
        if each.project == name and (seconds := survey_facts.ready_after_s(source)) is not None
    }
    info = parsed(found, "info", {})
    facts = Facts(
        live=True,
        engine=survey_facts.version(str(parsed(found, "engine", {}).get("Version", ""))),
        compose=survey_facts.version(found.parts["compose"].out.decode("utf-8", "replace")),
        cpus=float(info.get("cpus") or 0),
        memory=int(info.get("memory") or 0),
        containers=survey_facts.by_service(own),
        images=survey_facts.images(parsed(found, "images", [])),
        rendered=rendered or None,
    )
    return facts, tuple(each for each in every if each.project != name), ready, name


def _load(link: Link, host: Host, spec: ProjectSpec, found: Answers) -> Stack:
    """The stack, after reading the files that its files name."""
    for _ in range(ROUNDS):
        missing = project.wanted(spec, found.files, frozenset(found.absent))
        if not missing:
            return _stack(spec, found)
        more = _read(link, host, [spec.directory, "--files"], missing)
        found.files.update(more.files)
        found.states.update(more.states)
        found.absent |= {*more.absent, *(path for path in missing if path not in more.files)}
    raise InputError(f"its files name files that name files, more than {ROUNDS} deep", host=host.name,
                     mend="flatten include and extends")  # fmt: skip


def _stack(spec: ProjectSpec, found: Answers) -> Stack:
    absent = frozenset(found.absent)
    key = (repr(spec), tuple(sorted(found.files.items())), absent)
    return _STACKS.get(key, lambda: project.load(spec, found.files, absent))


def _also_as_named(facts: Facts, stack: Stack) -> dict[str, Any]:
    """Images also by the names that the services give them, which may be longer than the engine's."""
    known = dict(facts.images)
    for service in stack.services.values():
        name = service.image or ""
        short = re.sub(r"^(index\.)?docker\.io/(library/)?", "", name)
        plain = re.sub(r":[^/@]*@", "@", short)
        for other in (short, plain):
            if name and name not in known and other in known:
                known[name] = known[other]
    return known
