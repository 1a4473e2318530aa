"""The practice hosts: three containers, each with its own sshd and its own Docker engine that holds the platform's images.

`up` can be called at any time: it finishes what is missing. `down` leaves nothing of this checkout behind.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory.errors import RunbookError
from lab import checkout, coldstart, engine, images, seed
from lab.progress import Progress
from lab.state import HOSTS, PROJECT_DIR, ROOT, LabState

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

ANSWER_LIMIT_S = 90.0
RECIPE = "compose-runbook.recipe"
COMPOSE = "docker-compose.yml"
DRAFT = f"{PROJECT_DIR}.draft"
THAW = "docker ps -q --filter status=paused | xargs -r docker unpause"
"""A host cannot be killed while something in it is frozen: the engine outside waits for it in vain."""


@dataclass(frozen=True)
class HostStatus:
    """One practice host as `lab.status` shows it. `port` is its sshd's on 127.0.0.1; None: it does not exist."""

    name: str
    state: str
    port: int | None
    engine: str


def up(progress: Progress, *, start: bool = True, scale: float = 1.0, interval: str = "",
       state: LabState | None = None) -> None:  # fmt: skip
    """Brings up all practice hosts, and the platform on them when `start`. Raises RunbookError with the mend.

    `scale` multiplies the stand-ins' start-up times; `interval` takes the place of that of the example's own health checks.
    Both take effect when a host is made anew.
    """
    with checkout.turn(progress), engine.errors():
        make(progress, start, scale, interval, state or LabState(ROOT))


def make(progress: Progress, start: bool, scale: float, interval: str, state: LabState) -> None:
    """Makes what is missing, and waits until every host answers."""
    client = engine.client()
    base = images.base(client, progress)
    image = images.build(client, "host", "images/host/Dockerfile", {"BASE": base}, progress)
    with engine.locked("seed"):
        volume = seed.volume(client, image, base, scale, progress)
    ports = checkout.identity(state)
    recipe = images.digest(f"{image} {volume}".encode())
    for host in HOSTS:
        ensure(client, state, host, image, volume, recipe, ports[host], progress)
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        list(pool.map(lambda host: ready(client, state, host, progress, start, interval), HOSTS))


def ready(
    client: docker.DockerClient, state: LabState, host: str, progress: Progress, start: bool, interval: str
) -> None:
    """Waits until a host's engine and sshd answer, and puts the platform there when it is not."""
    container = client.containers.get(state.container(host))
    wait_for(container, "docker version -f '{{.Server.Version}}' && test -s /run/sshd.pid")
    progress(f"{host}: answers")
    if container.exec_run(["test", "-e", f"{PROJECT_DIR}/docker-compose.yml"]).exit_code != 0:
        deploy(container, interval)
    if start:
        progress(f"{host}: starting the platform")
        bring_up(container)
        progress(f"{host}: the platform answers")


def ensure(client: docker.DockerClient, state: LabState, host: str, image: str, source: str, recipe: str, port: int,
           progress: Progress) -> None:  # fmt: skip
    """Makes a host's container and volume, or starts them, so that they fit the recipe."""
    from docker.errors import NotFound

    try:
        container = client.containers.get(state.container(host))
        # One that was never started may not have got its files any more.
        if container.labels.get(RECIPE) == recipe and container.status != "created":
            if container.status != "running":
                start_container(container)
            return
        container.remove(force=True, v=True)
    except NotFound:
        pass
    progress(f"{host}: making")
    seed.copy(client, image, source, state.volume(host), state.labels())
    container = seed.create(
        client, image, name=state.container(host), hostname=host, volume=state.volume(host),
        labels={**state.labels(), RECIPE: recipe}, ports={"22/tcp": ("127.0.0.1", port)},
    )  # fmt: skip
    container.put_archive("/", checkout.pack(checkout.host_files(state, host)))
    start_container(container)


def start_container(container: Container) -> None:
    """Raises RunbookError where the engine refuses, such as for a port that another program took meanwhile."""
    from docker.errors import APIError

    try:
        container.start()
    except APIError as error:
        raise RunbookError(
            f"cannot be started: {error.explanation}", host=str(container.name), mend="./inv lab.down, then again"
        ) from error


def deploy(container: Container, interval: str = "") -> None:
    """Puts the example platform into its project folder, owned by deploy, byte for byte as it is in `examples/` unless
    its own health checks are to run at another `interval`."""
    example = ROOT / "examples" / "reconciliation"
    files = {
        f"{Path(DRAFT).name}/{path.relative_to(example)}": (
            checked_every(interval, path.read_bytes()) if path.name == COMPOSE else path.read_bytes(),
            0o600 if path.name == ".env" else 0o644,
            1000,
        )
        for path in sorted(example.rglob("*"))
        if path.is_file()
    }
    run(container, ["rm", "-rf", DRAFT])
    container.put_archive(str(Path(DRAFT).parent), checkout.pack(files))
    # The folder gets its name last, so that one that is there is whole.
    run(container, ["sh", "-c", f"chown -R deploy:deploy {DRAFT} && rm -rf {PROJECT_DIR} && mv {DRAFT} {PROJECT_DIR}"])


def checked_every(interval: str, data: bytes) -> bytes:
    """A Compose file whose health checks run at this interval; as it is where none is named."""
    return re.sub(rb"(?m)^( +interval: )\S+$", rb"\g<1>" + interval.encode(), data) if interval else data


def bring_up(container: Container, *, cold: bool = False) -> coldstart.ColdStart:
    """Starts the platform as an operator would, and waits until each service answers."""
    words = coldstart.arguments(PROJECT_DIR, cold=cold)
    done = container.exec_run(["sh", "-c", coldstart.PROGRAM, "sh", *words], user="deploy", demux=True)
    return coldstart.read((done.output[0] or b"").decode())


def reset(host: str, *, state: LabState | None = None) -> None:
    """Puts a host's project back to how the example is, data included, and starts it."""
    container = engine.client().containers.get((state or LabState(ROOT)).container(host))
    run(container, ["sh", "-c", f"cd {PROJECT_DIR} && docker compose down -v --remove-orphans -t 2 || true"])
    run(container, ["sh", "-c", "rm -rf /var/lib/compose-runbook/* /home/deploy/.local/state/compose-runbook"])
    deploy(container)
    bring_up(container)


def run(container: Container, argv: list[str]) -> str:
    """What a command in a host prints. Raises RunbookError when it fails."""
    done = container.exec_run(argv)
    text = bytes(done.output).decode("utf-8", "replace").strip()
    if done.exit_code != 0:
        raise RunbookError(f"{argv[0]} failed: {text[-300:]}", host=str(container.name))
    return text


def wait_for(container: Container, command: str) -> None:
    """Waits until a command in a host succeeds. Raises RunbookError with the host's last log lines when it does not."""
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while time.monotonic() < deadline:
        container.reload()
        if container.status == "running" and container.exec_run(["sh", "-c", command]).exit_code == 0:
            return
        if container.status in ("exited", "dead"):
            break
        time.sleep(0.2)
    log = (
        container.exec_run(["tail", "-n", "3", "/var/log/dockerd.log"]).output if container.status == "running" else b""
    )
    said = (bytes(log) or container.logs(tail=3)).decode("utf-8", "replace").strip()
    raise RunbookError(
        f"the practice host does not answer: {said}", host=str(container.name), mend="./inv lab.down, then again"
    )


def status(state: LabState | None = None) -> Iterator[HostStatus]:
    """Each practice host of this checkout as it stands."""
    from docker.errors import NotFound

    state = state or LabState(ROOT)
    client = engine.answering()
    stamp = state.folder / "ports.json"
    ports: dict[str, Any] = json.loads(stamp.read_text()) if stamp.exists() else {}
    for host in HOSTS:
        try:
            container = client.containers.get(state.container(host)) if client else None
        except NotFound:
            container = None
        if container is None:
            yield HostStatus(host, "absent", None, "")
            continue
        answer = (
            container.exec_run(["docker", "version", "-f", "{{.Server.Version}}"])
            if container.status == "running"
            else None
        )
        found = bytes(answer.output).decode().strip() if answer and answer.exit_code == 0 else ""
        yield HostStatus(host, str(container.status), ports.get(host), found)


def down(progress: Progress, *, purge: bool = False, state: LabState | None = None) -> None:
    """Removes this checkout's hosts, volumes and keys; with `purge` also the images and the seed that checkouts share."""
    with checkout.turn(progress), engine.errors():
        remove(progress, purge, state or LabState(ROOT))


def remove(progress: Progress, purge: bool, state: LabState) -> None:
    """Removes everything that carries this checkout's label, and its folder."""
    client = engine.answering()
    if client:
        mine = {"label": f"compose-runbook.lab={state.tag}"}

        def take_away(container: Container) -> None:
            progress(f"{container.name}: removing")
            if container.status == "running":
                container.exec_run(["sh", "-c", f"timeout 30 sh -c {shlex.quote(THAW)}"])
            container.remove(force=True, v=True)
            progress(f"{container.name}: removed")

        with ThreadPoolExecutor(len(HOSTS)) as pool:
            list(pool.map(take_away, client.containers.list(all=True, filters=mine)))
        for volume in client.volumes.list(filters=mine):
            volume.remove(force=True)
        seed.sweep(client)
        if purge:
            seed.purge(client)
        engine.stop()
    shutil.rmtree(state.folder, ignore_errors=True)
