"""The service images in the form of an engine's data root, made once and copied into each practice host's volume."""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from inventory.errors import RunbookError
from lab import engine, images
from lab.progress import Progress
from lab.services import IMAGES

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

PREFIX = "compose-runbook-images-"
LABEL = "compose-runbook.seed"
SEED, DONE = {LABEL: "seed"}, {LABEL: "done"}
MARK = "-done"
"""What a seed's volume and the container that fills it carry. A label is there from the start, so that a volume of its
own, made last, says that the filling was not interrupted."""
CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
]
"""In the order of their bits in /proc/self/status (linux/capability.h); newer ones are unknown to older engines."""


def volume(client: docker.DockerClient, host_image: str, base: str, scale: float, progress: Progress) -> str:
    """The name of a volume whose content is an engine's data root with all service images."""
    tags = {
        service.tag: images.build(
            client, service.target, "images/services/Dockerfile", {"BASE": base}, progress, service.target
        )
        for service in IMAGES
    }
    name = PREFIX + images.digest(f"{host_image} {scale} {sorted(tags.items())}".encode())
    if {name, name + MARK} <= names(client):
        return name
    discard(client, name)
    progress("seed: loading the service images into an engine")
    client.volumes.create(name, labels=SEED)
    container = create(client, host_image, name=name, hostname="seed", volume=name, labels=SEED, ports={})
    try:
        container.start()
        fill(client, container, tags, scale)
        container.stop(timeout=30)
    except BaseException:
        discard(client, name)
        raise
    container.remove(force=True, v=True)
    client.volumes.create(name + MARK, labels=DONE)
    return name


def names(client: docker.DockerClient) -> set[str]:
    """The volumes of all seeds, and their marks."""
    return {str(found.name) for found in client.volumes.list(filters={"label": LABEL})}


def discard(client: docker.DockerClient, name: str) -> None:
    """Removes a seed, whole or not, its mark first."""
    drop(client, name + MARK)
    drop(client, name)


def fill(client: docker.DockerClient, container: Container, tags: Mapping[str, str], scale: float) -> None:
    """Loads the images into the engine inside `container` and gives them their upstream names."""
    deadline = time.monotonic() + 60
    while container.exec_run(["docker", "version"]).exit_code != 0:
        if time.monotonic() > deadline:
            raise RunbookError("the engine inside a practice host does not start", mend="./inv lab.down, then again")
        time.sleep(0.2)
    with tempfile.TemporaryFile() as file:
        url = f"{client.api.base_url}/v{client.api._version}/images/get"
        with client.api.get(url, params={"names": list(tags.values())}, stream=True) as reply:
            reply.raise_for_status()
            for chunk in reply.iter_content(1 << 20):
                file.write(chunk)
        container.put_archive("/root", wrapped(file, "services.tar"))
    names = "\n".join(f"{lab} {upstream}" for upstream, lab in tags.items())
    script = (
        "set -e; docker load -q -i /root/services.tar >/dev/null; rm /root/services.tar; "
        "while read -r from to; do "
        '  if [ "$2" = 1.0 ]; then docker tag "$from" "$to"; '
        '  else printf "FROM %s\\nENV STANDIN_TIME_SCALE=%s\\n" "$from" "$2" | docker build -q -t "$to" - >/dev/null; fi; '
        '  docker rmi "$from" >/dev/null; '
        "done <<EOF\n$1\nEOF\n"
    )
    done = container.exec_run(["sh", "-c", script, "sh", names, str(scale)])
    if done.exit_code != 0:
        raise RunbookError(f"the service images could not be loaded: {bytes(done.output).decode()[-300:]}")


def wrapped(file: IO[bytes], name: str) -> Iterator[bytes]:
    """A tar stream that holds one large file, never whole in memory."""
    info = tarfile.TarInfo(name)
    info.size = file.tell()
    file.seek(0)
    yield info.tobuf()
    while chunk := file.read(1 << 20):
        yield chunk
    yield b"\0" * (-info.size % 512 + 1024)


def copy(client: docker.DockerClient, image: str, source: str, target: str, labels: Mapping[str, str]) -> None:
    """A volume `target` with the content of `source`; what stood in it before is lost.

    The container that copies carries the labels too, so that one that an interruption leaves is found and removed.
    """
    drop(client, target)
    client.volumes.create(target, labels=dict(labels))
    binds = {source: {"bind": "/from", "mode": "ro"}, target: {"bind": "/to", "mode": "rw"}}
    client.containers.run(
        image,
        ["-a", "/from/.", "/to/"],
        entrypoint="cp",
        volumes=binds,
        remove=True,
        network_mode="none",
        labels=dict(labels),
    )


def create(client: docker.DockerClient, image: str, *, name: str, hostname: str, volume: str,
           labels: Mapping[str, str], ports: Mapping[str, Any]) -> Container:  # fmt: skip
    """A container in which an engine can run: privileged, or with every capability that the machine does have."""
    from docker.errors import APIError

    privileged = may_be_privileged(client, image, labels)
    mounts = [f"{volume}:/var/lib/docker:rw"]
    if not privileged and str(client.info().get("CgroupVersion", "1")) == "1":
        mounts.append("/sys/fs/cgroup:/sys/fs/cgroup:rw")
    limits: dict[str, Any] = {"privileged": True}
    if not privileged:
        limits = {
            "cap_add": bounding_set(),
            "security_opt": ["seccomp=unconfined"],
            "device_cgroup_rules": ["a *:* rwm"],
        }
    host_config = client.api.create_host_config(binds=mounts, port_bindings=dict(ports), **limits)
    # What the command line calls systempaths=unconfined: an engine inside writes to /proc/sys.
    host_config.update({"MaskedPaths": [], "ReadonlyPaths": []})
    try:
        made = client.api.create_container(
            image, name=name, hostname=hostname, labels=dict(labels), ports=[int(port.split("/")[0]) for port in ports],
            host_config=host_config, stop_signal="SIGTERM",
        )  # fmt: skip
    except APIError as error:
        raise engine.NoEngine(f"this engine allows no nested engine: {error.explanation}", host=hostname) from error
    return client.containers.get(made["Id"])


def may_be_privileged(client: docker.DockerClient, image: str, labels: Mapping[str, str]) -> bool:
    """Whether this engine starts privileged containers (some machines lack a capability that this needs)."""
    from docker.errors import APIError

    try:
        tried = client.containers.create(
            image, entrypoint="true", privileged=True, network_mode="none", labels=dict(labels)
        )
    except APIError:
        return False
    try:
        tried.start()
        return int(tried.wait()["StatusCode"]) == 0
    except APIError:
        return False
    finally:
        # One that could not be started is not removed by the engine's own --rm.
        tried.remove(force=True)


def bounding_set() -> list[str]:
    """The capabilities that this machine has, by name."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd:"))
    bits = int(line.split()[1], 16)
    return [name for number, name in enumerate(CAPABILITIES) if bits >> number & 1]


def drop(client: docker.DockerClient, name: str) -> None:
    """Removes a volume with the containers that use it, such as one that still copies after an interruption."""
    from docker.errors import NotFound

    for container in client.containers.list(all=True, filters={"volume": name}, ignore_removed=True):
        with suppress(NotFound):
            container.remove(force=True, v=True)
    with suppress(NotFound):
        client.volumes.get(name).remove(force=True)


def sweep(client: docker.DockerClient) -> None:
    """Removes what is left of a seed whose making was interrupted, unless one is being made at this moment."""
    with engine.locked("seed", wait=False) as mine:
        if mine:
            for container in client.containers.list(all=True, filters={"label": LABEL}):
                container.remove(force=True, v=True)
            whole = names(client)
            for found in client.volumes.list(filters={"label": f"{LABEL}={SEED[LABEL]}"}):
                if found.name + MARK not in whole:
                    discard(client, found.name)


def purge(client: docker.DockerClient) -> None:
    """Removes seeds and images that no container uses any more."""
    from docker.errors import APIError

    for name in names(client):
        if not name.endswith(MARK):
            discard(client, name)
    for image in client.images.list(name=images.REPOSITORY):
        try:
            client.images.remove(image.id, force=True)
        except APIError:
            continue
