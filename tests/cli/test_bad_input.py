"""Whatever files, inventories, phases and hosts are like: one clear line, the documented exit code, nothing changed.

Wrong words on the command line itself: tests/runbooks/test_tasks.py.
"""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, World
from tests.inventory.conftest import SSHD, Server

COMPOSE = "services:\n  web:\n    image: nginx:1.27\n    depends_on: [db]\n  db:\n    image: postgres:15\n"
HOST = "all:\n  hosts:\n    h:\n      ansible_connection: local\n      project_dir: TMP/"
BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 'x'}]\n" for n in range(10)) + COMPOSE
WEB = "services:\n  web:\n    image: a\n"

# name of a Compose file -> its text, and the words of the line that refuses it
FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty (write services: into it)"),
    "list": ("- a\n", "a Compose file must be a mapping (start it with services:)"),
    "text": ("hello\n", "a Compose file must be a mapping"),
    "open-bracket": ("services:\n  web: [\n", ":3: is not YAML"),
    "tab": ("services:\n\tweb:\n", ":2: is not YAML: found character that cannot start any token while scanning for the next token (indent with spaces, not tabs)"),
    "template": ("services:\n{% if x %}\n  web: {image: a}\n{% endif %}\n", ":2: is not YAML"),
    "conflict": ("services:\n<<<<<<< HEAD\n  web: {image: a}\n=======\n", ":3: is not YAML"),
    "two-documents": (f"{COMPOSE}---\n{COMPOSE}", "(keep one document in the file)"),
    "no-anchor": ("services:\n  web: *gone\n", "(define the anchor before it is used)"),
    "duplicate-key": (WEB + "    image: b\n", ":4: image: stands twice: first on line 3 (keep one of the two)"),
    "duplicate-service": (WEB + "  web:\n    image: b\n", ":4: web: stands twice: first on line 2"),
    "list-as-key": ("services:\n  ? [a]\n  : {image: a}\n", "has a key that is not text (write a plain key)"),
    "two-merges": ("x: &x {tty: true}\nservices:\n  web:\n    <<: *x\n    <<: *x\n", ":5: << stands twice in one mapping"),
    "merge-of-texts": ("x: &x [a]\nservices:\n  web:\n    <<: *x\n", ":4: << merges only mappings"),
    "in-itself": ("services: &s\n  web: *s\n", "has an alias to what holds it"),
    "bomb": (BOMB, "expands to more than 200000 values through its aliases"),
    "deep-flow": ("services: " + "[" * 5000 + "]" * 5000, ":1: is nested deeper than 100"),
    "deep-blocks": ("services:\n" + "".join(" " * n + f"k{n}:\n" for n in range(1, 400)), "is nested deeper than 100"),
    "binary": (bytes(range(256)) * 20, "is not UTF-8 text"),
    "nul": (COMPOSE.replace("nginx", "ng\0inx"), ":3: has a NUL byte: it is binary"),
    "control": (COMPOSE.replace("nginx", "ng\x07inx"), "is not YAML"),
    "utf-16": (COMPOSE.encode("utf-16"), "is UTF-16 (save it as UTF-8)"),
    "latin-1": ("# caf\u00e9\n".encode("latin-1") + COMPOSE.encode(), ":1: is not UTF-8 text (save it as UTF-8)"),
    "lone-cr": (COMPOSE.replace("\n", "\r"), "ends its lines with a lone CR"),
    "services-list": ("services:\n  - web\n", "services: must be a mapping of services"),
    "services-text": ("services: web\n", "services: must be a mapping of services"),
    "service-text": ("services:\n  web: nginx\n", ":2: services.web"),
    "image-list": ("services:\n  web:\n    image: [a]\n", ":3: services.web.image: must be a text (write image: VALUE)"),
    "edges-text": (WEB + "    depends_on: db\n", ":4: services.web.depends_on: must be a list or a mapping of services"),
    "edge-null": (WEB + "    depends_on:\n      web2:\n", ":5: services.web.depends_on.web2: must be a mapping"),
    "edge-twice": (WEB + "    depends_on: [db, db]\n  db: {image: b}\n", ":4: services.web.depends_on: names db twice"),
    "edge-of-list": (WEB + "    depends_on: [[db]]\n", "services.web.depends_on: must be a list of names"),
    "condition": (WEB + "    depends_on: {db: {condition: healthy}}\n", "'healthy' is not a condition (write one of "),
    "required": (WEB + "    depends_on: {db: {condition: service_started, required: perhaps}}\n", "required: must be true or false"),
    "itself": (WEB + "    depends_on: [web]\n", "dependency cycle detected: web -> web"),
    "cycle": ("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n", "dependency cycle detected: a -> b -> a (take one"),
    "check-list": (WEB + "    healthcheck: [curl]\n", ":4: services.web.healthcheck: must be a mapping (write test: under it)"),
    "check-word": (WEB + "    healthcheck: {test: [curl, x]}\n", "starts with 'curl' (start it with CMD, CMD-SHELL or NONE)"),
    "check-interval": (WEB + "    healthcheck: {test: x, interval: 90}\n", "healthcheck.interval: is not a duration (write it with a unit: 30s"),
    "check-retries": (WEB + "    healthcheck: {test: x, retries: many}\n", "healthcheck.retries: is not a number (write retries: 3)"),
    "environment-text": (WEB + "    environment: A=b\n", "services.web.environment: must be a list or a mapping"),
    "environment-maps": (WEB + "    environment:\n      - A: b\n", ":5: services.web.environment"),
    "ports-text": (WEB + "    ports: '80'\n", ':4: services.web.ports: must be a list (write - "80" under it)'),
    "profiles-text": (WEB + "    profiles: debug\n", "services.web.profiles: must be a list"),
    "bad-reference": ("services:\n  web:\n    image: ${TAG:1}\n", ":3: ${... is not a valid reference (write ${NAME}, or $$ for a dollar sign)"),
    "required-variable": ("services:\n  web:\n    image: a:${NO_SUCH_TAG:?which}\n", "required variable NO_SUCH_TAG is missing a value: which (set NO_SUCH_TAG in an env file)"),
    "no-env-file": (WEB + "    env_file: gone.env\n", "gone.env, which is not there (mend the path, or create the file)"),
    "bad-env-file": (WEB + "    env_file: typed.env\n", "typed.env:1: unexpected character '!' in a variable's name (write NAME=value)"),
    "extends-nothing": (WEB + "    extends: gone\n", ":4: services.web.extends: there is no service gone"),
    "extends-itself": (WEB + "    extends: web\n", "service web extends itself (break the circle)"),
    "extends-no-file": (WEB + "    extends: {file: absent.yml, service: a}\n", "extends names "),
    "include-nothing": ("include: [absent.yml]\n" + WEB, ":1: include names "),
    "include-itself": ("include: [include-itself.yml]\n" + WEB, "which includes this file (break the circle)"),
    "include-text": ("include: absent.yml\n" + WEB, "include: must be a list"),
}  # fmt: skip

# name of an environment -> its inventory, and the words of the line that refuses it
INVENTORIES = {
    "typo": ("all:\n  hosts:\n    a:\n      project_dri: /srv/shop\n", "typo.yml:4: project_dri: "),
    "close": (HOST + "shop\n      compose_file: [a.yml]\n", "close.yml:6: compose_file: is not a variable (did you mean compose_files?)"),
    "nobody": ("all: {vars: {project_dir: /srv}}\n", "names no host"),
    "list": ("- web-1\n", "list.yml:1: holds no inventory"),
    "port": ("all: {hosts: {a: {project_dir: /s, ansible_port: 99999}}}\n", "ansible_port: 99999 is not a port"),
    "circle": ("a: {children: {b: {children: {a: }}}}\n", "holds itself"),
    "relative": ("all: {hosts: {a: {project_dir: srv}}}\n", "project_dir: 'srv' is not an absolute path"),
}  # fmt: skip

# number of a phase -> its file, and the words of the line that refuses it
PHASES = {
    "41": ("name: x\nsteps:\n  - step: conditons\n", "phase_41.yml:3"),
    "42": ("name: x\nsteps:\n  - step: conditions\n    gate: {window: 0s}\n", "phase_42.yml:4"),
    "43": ("name: x\nsteps: []\n", "phase_43.yml:1: steps: needs a list of steps"),
    "44": ("name: x\nsteps:\n  - step: conditions\n    vars: {telemetry_edges: weak}\n", "phase_44.yml:4"),
    "45": ("name: x\nstep:\n  - step: conditions\n", "phase_45.yml:2"),
    "46": ("name: x\nsteps:\n  - step: conditions\n    gate: {min_success: 2}\n", "phase_46.yml:4"),
}

# what is typed, exit code, words of the line
TYPED = {
    "a folder among files": ("plan --phase 1 --file TMP/compose.yml --file TMP", 1, "cannot be read: Is a directory"),
    "a folder without a Compose file": ("plan --phase 1 --file TMP/plain", 1, "there is no Compose file in "),
    "a file of 100 MB": ("plan --phase 1 --file TMP/huge.yml", 1, "has more than 2097152 bytes"),
    "nothing from a pipe": ("plan --phase 1 --file -", 1, "is empty (write services: into it)"),
    "a limit that fits no host": ("plan --phase 1 --env far --inventory TMP/envs --limit nobody", 1, "nobody"),
}  # fmt: skip

# what the host has for a `docker`, the project's folder, exit code, words of the line
HOSTS = {
    "no Docker": ("none", "shop", 1, "h: there is no docker command on it (install Docker)"),
    "an old engine": ("old-engine", "shop", 4, "h: Engine 19.3.15 is too old (20.10 or later is needed)"),
    "an old Compose": ("old-compose", "shop", 4, "h: Compose 2.19.1 is too old (2.20 or later is needed)"),
    "no Compose": ("no-compose", "shop", 1, "h: there is no `docker compose` on it (install the Compose plugin"),
    "an engine that is off": ("engine-off", "shop", 1, "h: its Docker engine does not answer: Cannot connect"),
    "an account without rights": (
        "not-allowed",
        "shop",
        1,
        "h: this user may not use Docker (add it to the group docker",
    ),
    "no project folder": ("fine", "gone", 1, "cannot be entered (mend project_dir in the inventory"),
    "no Compose file": ("fine", "plain", 1, "there is no Compose file in "),
    "a file that leads out": ("fine", "linked", 1, "is a link that leads out of the project's folder"),
    "a Compose file that is a folder": ("fine", "folder", 1, "is not a regular file"),
    "a Compose file of 100 MB": ("fine", "huge", 1, "is larger than 2 MiB"),
}

# lines of sh that change what the command sees of the file systems, what is typed, exit code, words of the line
FULL = "mount -t tmpfs -o size=4k none {0}\ndd if=/dev/zero of={0}/filler bs=4k count=1 2>/dev/null\n"
MOUNTED = {
    "a folder that is read-only": (
        "mount --bind WORLD/shop WORLD/shop\nmount -o remount,bind,ro WORLD/shop\n",
        "migrate --phase 1 --env shop --inventory TMP/envs --yes", 4, "shop is not writable for "),
    "a host whose disk is full": (
        "mkdir -p STATE.host\n" + FULL.format("STATE.host") + "TMPDIR=STATE.host; export TMPDIR\n",
        "plan --phase 1 --env shop --inventory TMP/envs", 5, "h: it could not be read: there is no room in "),
    "a controller whose disk is full": (
        "mkdir -p STATE\n" + FULL.format("STATE"),
        "migrate --phase 1 --env far --inventory TMP/envs --yes", 1, "the evidence store cannot be used: "),
}  # fmt: skip

# what known_hosts says of the server, the login key, what is typed, words of the line
LOGINS = {
    "a wrong SSH key": ("known", "stranger", "login as"),
    "an SSH key that is not there": ("known", "absent", "no key file"),
    "a changed host key": ("changed", "login", "changed"),
    "a host key that nobody knows": ("unknown", "login", "not in known_hosts"),
    "a revoked host key": ("revoked", "login", "@revoked"),
}


@dataclass(frozen=True)
class Case:
    """A command line with what it must end with. `before`: see World.run."""

    typed: str
    code: int
    words: str
    docker: str = ""
    before: str = ""


CASES: dict[str, Case] = {
    **{name: Case(*each) for name, each in TYPED.items()},
    **{f"file: {name}": Case(f"plan --phase 1 --file TMP/{name}.yml", 1, words) for name, (_, words) in FILES.items()},
    **{f"inventory: {name}": Case(f"inventory.list --env {name} --inventory TMP/bad", 1, words)
       for name, (_, words) in INVENTORIES.items()},
    **{f"phase: {number}": Case(f"plan --phase {number} --file TMP/compose.yml", 1, words)
       for number, (_, words) in PHASES.items()},
    **{f"host: {name}": Case(f"plan --phase 1 --env {project} --inventory TMP/envs", code, words, docker)
       for name, (docker, project, code, words) in HOSTS.items()},
    **{f"disk: {name}": Case(typed, code, words, "fine", before) for name, (before, typed, code, words) in MOUNTED.items()},
    **{f"login: {name}": Case(f"plan --phase 1 --env login-{kind}-{key} --inventory TMP/envs", 5, words)
       for name, (kind, key, words) in LOGINS.items()},
}  # fmt: skip


def furnish(world: World) -> None:
    """Writes everything that the command lines name."""
    for name, (text, _) in FILES.items():
        world.write(f"{name}.yml", text)
    world.write("compose.yml", COMPOSE)
    world.write("typed.env", "what!=is it\n")
    sparse(world.folder / "huge.yml")
    for name, (text, _) in INVENTORIES.items():
        world.write(f"bad/{name}.yml", text.replace("TMP", str(world.folder)))
    world.write(
        "envs/far.yml", "all: {hosts: {far-1: {ansible_host: 127.0.0.1, ansible_port: 1, project_dir: /srv/shop}}}\n"
    )
    for number, (text, _) in PHASES.items():
        (world.tool / "runbooks" / f"phase_{number}.yml").write_text(text)
    for project in ("shop", "plain", "linked", "folder", "huge", "gone"):
        world.write(f"envs/{project}.yml", HOST.replace("TMP", str(world.folder)) + f"{project}\n")
        if project != "gone":
            (world.folder / project).mkdir()
    world.write("shop/docker-compose.yml", COMPOSE)
    (world.folder / "linked" / "docker-compose.yml").symlink_to(world.folder / "compose.yml")
    (world.folder / "folder" / "docker-compose.yml").mkdir()
    sparse(world.folder / "huge" / "docker-compose.yml")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 << 20)


def let_in(world: World, serve: Callable[[], Server]) -> None:
    """A server, and an inventory for each way in which it is known and logged in to."""
    server = serve()
    here = f"[127.0.0.1]:{server.port}"
    stranger = " ".join((server.folder / "stranger.pub").read_text().split()[:2])
    lines = {
        "known": f"{here} {server.public()}\n", "changed": f"{here} {stranger}\n", "unknown": "",
        "revoked": f"{here} {server.public()}\n@revoked * {server.public()}\n",
    }  # fmt: skip
    for kind, key, _ in LOGINS.values():
        known = world.write(f"known_hosts-{kind}", lines[kind])
        options = f"-F /dev/null -o IdentitiesOnly=yes -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=/dev/null"
        world.write(
            f"envs/login-{kind}-{key}.yml",
            f"all:\n  hosts:\n    h:\n      ansible_host: 127.0.0.1\n      ansible_port: {server.port}\n"
            f"      ansible_user: {getpass.getuser()}\n      ansible_ssh_private_key_file: {server.folder / key}\n"
            f"      ansible_ssh_common_args: {options}\n      project_dir: /srv/shop\n",
        )


def ran(world: World, serve: Callable[[], Server] | None, *, may_mount: bool) -> dict[str, Ran]:
    """Every command line that can be tried here, a few at a time."""
    furnish(world)
    here = [name for name in CASES if may_mount or not CASES[name].before]
    if serve is not None:
        let_in(world, serve)
    else:
        here = [name for name in here if not name.startswith("login: ")]
    before = world.bytes()

    def one(numbered: tuple[int, str]) -> Ran:
        case = CASES[numbered[1]]
        return world.run(case.typed, numbered[0], docker=case.docker, before=case.before)

    with ThreadPoolExecutor(3) as pool:
        found = dict(zip(here, pool.map(one, enumerate(here)), strict=True))
    assert world.bytes() == before, "a command that was refused changed a file"
    return found


@pytest.mark.slow
def test_bad_input_is_one_clear_line_with_its_exit_code_and_changes_nothing(
    world: World, can_mount: bool, request: pytest.FixtureRequest, subtests: pytest.Subtests
) -> None:
    there = Path(SSHD).exists() and shutil.which("ssh-keygen")
    found = ran(world, request.getfixturevalue("serve") if there else None, may_mount=can_mount)
    for name, one in found.items():
        with subtests.test(name):
            judge(CASES[name], one)
    for name in set(CASES) - set(found):
        with subtests.test(name):
            pytest.skip("needs an SSH server" if name.startswith("login: ") else "needs the right to mount")


def judge(case: Case, found: Ran) -> None:
    """Asserts that a command line ended as it must."""
    assert found.code == case.code, (found.code, found.err, found.out[-300:])
    lines = [line for line in found.err.splitlines() if line.strip()]
    if not lines:  # a run tells how it left each host, where people read
        lines = [line for line in found.out.splitlines() if line.startswith("  h: ")]
    assert len(lines) == 1, found.err
    assert case.words in lines[0]
    assert "Traceback" not in found.err + found.out
    assert "this is a bug" not in found.err


def test_there_are_at_least_sixty_bad_inputs() -> None:
    assert len(CASES) >= 60
