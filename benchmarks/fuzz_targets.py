"""What is fuzzed: each reader of what others wrote, as a function of bytes. A refusal is fine, any other error a find.

A target's `seeds` are good inputs, which a fuzzer changes into bad ones. Nothing here reaches a host; what a target
writes is a file in a temporary folder of its own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from checks import probes as probe_kinds
from checks.model import Probe
from checks.probes.kind import Answer
from inventory import inventory
from inventory.engine import Compose
from inventory.errors import RunbookError
from inventory.link import Call, Reply
from inventory.model import Host, Project
from inventory.replies import understood
from inventory.secrets import Mask
from rollback import journal, records
from rollback.commit import HostWriter
from rollback.model import FileState, Snapshot
from runbooks import ask, baseline, book, draft, plan, private, restarts, secret_text, survey, symptoms, trial
from runbooks.commands import planning
from runbooks.compose import environment, project
from runbooks.compose.model import ProjectSpec
from runbooks.hostrun import compose_of, restarts_of
from runbooks.model import NO_FACTS, Question
from runbooks.programs import Part, answers
from runbooks.survey_files import COMPOSE_FILES, OVERRIDES

ROOT = Path(__file__).resolve().parent.parent
STACKS = ROOT / "tests" / "runbooks" / "stacks"
HERE = Host("web-1", "web-1", Project("/srv/shop", "shop"))
COMPOSE = b"""services:
  web: {image: "nginx:1.27", depends_on: [db], environment: ["DATABASE_URL=postgres://a:${PASSWORD:-x}@db/shop"]}
  db: {image: "postgres:15", environment: {POSTGRES_PASSWORD: secret}, healthcheck: {test: pg_isready, interval: 1m30s}}
"""
DIGEST = "0" * 64


@dataclass(frozen=True)
class Target:
    """A reader. `run` raises nothing but RunbookError, whatever the bytes."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


class Parrot:
    """A link to a host that answers every program with the same bytes."""

    def __init__(self, out: bytes, code: int = 0) -> None:
        self.host, self.exchanges, self.out, self.code = HERE, 0, out, code

    def run(self, _program: str, *_args: str, **_more: Any) -> Reply:
        self.exchanges += 1
        return Reply(self.code, self.out, self.out[:200], 0.01)

    def together(self, calls: Sequence[Call], **_more: Any) -> list[Reply]:
        return [self.run(each.program, *each.args) for each in calls]


@cache
def phase() -> book.Phase:
    return book.load("1")


def edits(data: bytes) -> None:
    """Phase 1 on a Compose file: what it writes can be read again, and has nothing more to do."""
    spec = ProjectSpec("/srv/shop", "shop", ("/srv/shop/compose.yml",), (".env",), ())
    files = {"/srv/shop/compose.yml": data, "/srv/shop/.env": b"PASSWORD=x\n"}
    absent = frozenset(path for path in project.wanted(spec, files) if path not in files)
    stack = project.load(spec, files, absent)
    made = draft.walk(phase(), stack, NO_FACTS, {})
    again = project.load(spec, {**files, **made.stages[-1].after.files}, absent)
    if any(stage.changed for stage in draft.walk(phase(), again, NO_FACTS, {}).stages):
        raise AssertionError("planning the result plans something")


def env_file(data: bytes) -> None:
    bound: dict[str, environment.Bound] = {}
    environment.read(data, "/srv/shop/.env", {}, bound)
    mask = Mask()
    for name, found in bound.items():
        mask.learn(name, found.value)
    mask.hide(data.decode("utf-8", "replace"))


def secrets(data: bytes) -> None:
    """What is found as secret is hidden, and hiding twice is hiding once."""
    text, mask = data.decode("utf-8", "replace"), Mask()
    for name, value in secret_text.given(text):
        mask.learn(name, value)
    for secret in secret_text.bare(text):
        mask.add(secret)
    hidden = mask.hide(text)
    if mask.hides(hidden) and len(mask.hide(hidden)) > len(hidden) + 64:
        raise AssertionError("hiding does not come to an end")


def inventory_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "shop.yml").write_bytes(data)
        inventory.load("shop", Path(folder), book.declared())


def phase_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "phase_9.yml").write_bytes(data)
        book.load("9", Path(folder))


def kept_plan(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plan.json")
        path.write_bytes(data)
        planning.read(path)


def journal_lines(data: bytes) -> None:
    journal.read(data, "web-1", DIGEST)


def snapshots(data: bytes) -> None:
    for found in records.snapshots(data.decode("utf-8", "replace"), "web-1"):
        for reader in (restarts_of, compose_of):
            with suppress(RunbookError):
                reader(found)


def writer(data: bytes) -> None:
    """Every answer of the program that writes files, as the controller reads it; the first byte is how it ended."""
    code = data[0] % 20 if data else 0
    for work in _WORK:
        with suppress(RunbookError):
            work(HostWriter(Parrot(data[1:], code), "/srv/shop", "shop", run="run-1", who="eve@laptop"))  # type: ignore[arg-type]


_STATE = FileState("/srv/shop/compose.yml", DIGEST, 0o644, 0, 0)
_SNAPSHOT = Snapshot("s-1", "run-1", "s", "2026-01-01T00:00:00+00:00", "/srv/shop", (_STATE,), (_STATE,))
_WORK: tuple[Callable[[HostWriter], object], ...] = (
    lambda host: host.prepare(), lambda host: host.lock(), lambda host: host.owner(), lambda host: host.unlock(),
    lambda host: host.read(["/srv/shop/compose.yml"]), lambda host: host.undo(_SNAPSHOT, force=True),
    lambda host: host.recover(), lambda host: host.execute(["true"], 1.0), lambda host: host.last_command(),
    lambda host: host.note("kind", {}), lambda host: host.journal(), lambda host: host.snapshots(),
)  # fmt: skip


def records_of_programs(data: bytes) -> None:
    answers(data, "web-1")


def questions(data: bytes) -> None:
    code = data[0] if data else 0
    ask.answer(Question("q", "db", ("true",)), Part(code, data[1:]))


_SETTINGS = {"restarts": 1, "master": "m", "nodes": ["a", "b"], "sentinels": ["s", "t"]}
"""What kinds of probes cannot do without."""


def probe_answers(data: bytes) -> None:
    """A round's frames, and each kind's judgement of an answer."""
    probe_kinds._answers(data.decode("utf-8", "replace"))
    code, text = (data[0] if data else 0), data[1:].decode("utf-8", "replace")
    for name, kind in probe_kinds.KINDS.items():
        if kind.command is not None:
            kind.judge(Probe(name, "p", "web", _SETTINGS), Answer(code, text, 0.1))


def symptom_lines(data: bytes) -> None:
    symptoms.parse("web-1", data.decode("utf-8", "replace"))


PARTS = ("engine", "compose", "info", "config", "containers", "images", "dry_run")


def docker(data: bytes) -> None:
    """What docker and Compose say in a survey, as JSON of any shape: the parts stand in turn, parted by NUL."""
    made = b"".join(
        b"part %s 0 %d\n%s\n" % (name.encode(), len(said), said)
        for name, said in zip(PARTS, data.split(b"\0"), strict=False)
    )
    file = b"file ok 644 0 0 - %d /srv/shop/compose.yml\n%s\n" % (len(COMPOSE), COMPOSE)
    absent = b"".join(
        b"file absent 0 0 0 - 0 /srv/shop/%s\n\n" % name.encode()
        for name in (*COMPOSE_FILES, *OVERRIDES, ".env")
        if name != "compose.yml"
    )
    found = survey.survey(Parrot(made + file + absent), HERE, Mask())  # type: ignore[arg-type]
    walked = draft.walk(phase(), found.stack, found.facts, {})
    plan.host_plan("web-1", walked, found.facts, found.compose, found.states, found=baseline.baseline(found))
    restarts.stale_proxies(found.stack, ())


def trials(data: bytes) -> None:
    """What a private folder's commands say of candidates: rendered models of any shape."""
    parts = (*data.split(b"\0"), b"", b"", b"")
    ran = private.Ran("/tmp/runbook.x", {  # noqa: S108 - a path in an answer, nothing is there
        "before": Part(0, parts[0]), "stage1": Part(0, parts[1]), "stage1.up": Part(0, parts[2]),
    })  # fmt: skip
    spec = ProjectSpec("/srv/shop", "shop", ("/srv/shop/compose.yml",), (), ())
    stack = project.load(spec, {"/srv/shop/compose.yml": COMPOSE}, frozenset())
    with understood("web-1"):
        trial.judged("web-1", Compose("/srv/shop", "shop"), stack, {"stage1": stack}, (), ran)


def _yaml_seeds(limit: int = 80) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(STACKS.rglob("*.yml"))[:limit]) or (COMPOSE,)


def _docker_seed() -> bytes:
    labels = {f"com.docker.compose.{name}": value for name, value in (
        ("project", "shop"), ("service", "web"), ("container-number", "1"), ("config-hash", "x"), ("oneoff", "False"))}  # fmt: skip
    state = {
        "Status": "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00.123456789Z",
        "Health": {"Status": "healthy", "Log": [{"Start": "2026-01-01T00:00:01Z", "End": "2026-01-01T00:00:02Z", "ExitCode": 0}]},
    }  # fmt: skip
    container = {
        "Id": "abc", "Name": "/shop-web-1", "Image": "sha256:1", "RestartCount": 1, "State": state,
        "Config": {"Image": "nginx:1.27", "Labels": labels, "Env": ["A=1", "PASSWORD=x"], "Healthcheck": {"Interval": 1000000000}},
        "NetworkSettings": {"Networks": {"default": {"IPAddress": "10.0.0.2"}}},
        "Mounts": [{"Type": "volume", "Name": "v", "Destination": "/data"}],
    }  # fmt: skip
    image = {
        "Id": "sha256:1",
        "RepoTags": ["nginx:1.27"],
        "RepoDigests": [],
        "Config": {"ExposedPorts": {"80/tcp": {}}, "Cmd": ["x"]},
    }
    model = {"name": "shop", "services": {
        "web": {"image": "nginx:1.27", "depends_on": {"db": {"condition": "service_started", "required": True}},
                "environment": {"DATABASE_URL": "postgres://a:x@db/shop"}},
        "db": {"image": "postgres:15", "environment": {"POSTGRES_PASSWORD": "secret"}, "healthcheck": {"test": ["CMD-SHELL", "pg_isready"], "interval": "1m30s"}},
    }}  # fmt: skip
    said = ({"Version": "26.1.5+dfsg1"}, "2.26.1", {"cpus": 2, "memory": 8 << 30}, model, [container], [image])
    return b"\0".join(json.dumps(each).encode() if not isinstance(each, str) else each.encode() for each in said)


def _journal_seed() -> bytes:
    line = '{"previous":"%s","at":"2026-01-01T00:00:00Z","kind":"begin","run":"r","id":"t","who":"e@l","data":{}}\n'
    return (line % DIGEST).encode()


def _snapshot_seed() -> bytes:
    note = {
        "restarts": '[["web", 5, 1, 1.0, []]]',
        "compose": '{"name": "shop", "files": [], "env_files": [], "profiles": []}',
    }
    return json.dumps({**records.to_json(_SNAPSHOT), "note": note}).encode() + b"\n"


def _writer_seeds() -> tuple[bytes, ...]:
    read = f"{'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'} 644 0 0 - 0 /srv/shop/compose.yml\n"
    said = ("clock 1760000000\nfree 1000\nhead " + DIGEST + "\npending t-1\n", "held\n", read, "out\nexit 0\n", "exit 0\ndocker compose up\n",
            "locked 1760000000 run=r who=eve@laptop since=1759990000 renewed=1759999990\n", "reverted t-1\nhead x\n", 'released\nlast {"previous":"0"}\n')  # fmt: skip
    return tuple(bytes([code]) + text.encode() for code in (0, 10, 11, 12, 13, 14) for text in said)


TARGETS: Sequence[Target] = (
    Target("edits", edits, (COMPOSE, *_yaml_seeds())),
    Target("env_file", env_file, (b"A=1\nexport B='x y' # c\nC=\"${A:-d}\\n\"\nPASSWORD: secret\n",)),
    Target("secrets", secrets, (COMPOSE, b"# password: hunter22\nURL=postgres://a:b@c/d\n-----BEGIN PRIVATE KEY-----\nx\n-----END")),
    Target("inventory", inventory_file, tuple(path.read_bytes() for path in sorted((ROOT / "inventory").glob("*.yml")))),
    Target("phase_file", phase_file, tuple(path.read_bytes() for path in sorted((ROOT / "runbooks").glob("phase_*.yml")))),
    Target("kept_plan", kept_plan, (b'{"format": 1, "choice": {"phase": "1", "environment": "e", "limit": null, "steps": [], "tags": []}, "plan": {"fingerprint": "x"}}',)),
    Target("journal", journal_lines, (_journal_seed(),)),
    Target("snapshots", snapshots, (_snapshot_seed(),)),
    Target("writer", writer, _writer_seeds()),
    Target("records", records_of_programs, (b"part engine 0 2\n{}\nfile ok 644 0 0 - 1 /srv/x\na\nfile absent 0 0 0 - 0 /srv/y\n\n",)),
    Target("questions", questions, (b"\x00120\nPONG\n", b"\x8930000\n")),
    Target("probes", probe_answers, (b"0 0 12 UE9ORw==\n", b"\x00web running healthy 0 false 0\n", b"\x00PONG\r\nused_memory:1024\r\n", b"\x00node a master -\nnode b slave up\nsentinel s a 1 1 OK\n", b"\x0012\n")),
    Target("symptoms", symptom_lines, (b'service web\nstate {"Status": "running", "Health": {"Status": "healthy", "Log": [{"ExitCode": 1, "Output": "no"}]}}\nlog x\n',)),
    Target("docker", docker, (_docker_seed(),)),
    Target("trials", trials, (b"\0".join([_docker_seed().split(b"\0")[3]] * 2 + [b"DRY-RUN MODE -  Container shop-web-1  Recreate\n"]),)),
)  # fmt: skip
"""Every reader of what others wrote: files of operators, answers of hosts, what the tool itself kept and finds again."""


def attempt(target: Target, data: bytes) -> bool:
    """Whether a target took the bytes; False: it refused them. Raises whatever else went wrong."""
    try:
        target.run(data)
    except RunbookError as error:
        if "\n" in str(error):
            raise AssertionError(f"an error of several lines: {str(error)!r}") from error
        return False
    return True
