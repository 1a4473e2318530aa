"""The service images in the form of an engine's data root, made once and copied into each practice host's volume."""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from inventory.errors import RunbookError
from lab import engine, images
from lab.progress import Progress
from lab.services import IMAGES

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

PREFIX = "compose-runbook-seed-"
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
    from docker.errors import NotFound

    tags = {
        service.tag: images.build(
            client, service.target, "images/services/Dockerfile", {"BASE": base}, progress, service.target
        )
        for service in IMAGES
    }
    name = PREFIX + images.digest(f"{host_image} {scale} {sorted(tags.items())}".encode())
    try:
        if client.volumes.get(name).attrs["Labels"].get("compose-runbook.seed") == "done":
            return name
    except NotFound:
        pass
    draft = f"{name}-draft"
    drop(client, draft)
    progress("seed: loading the service images into an engine")
    client.volumes.create(draft, labels={"compose-runbook.seed": "draft"})
    container = create(client, host_image, name=draft, hostname="seed", volume=draft, labels={}, ports={})
    try:
        container.start()
        fill(client, container, tags, scale)
        container.stop(timeout=30)
        copy(client, host_image, draft, name, {"compose-runbook.seed": "done"})
    finally:
        container.remove(force=True, v=True)
    drop(client, draft)
    return name


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
    """A volume `target` with the content of `source`; what stood in it before is lost."""
    drop(client, target)
    client.volumes.create(target, labels=dict(labels))
    binds = {source: {"bind": "/from", "mode": "ro"}, target: {"bind": "/to", "mode": "rw"}}
    client.containers.run(
        image, ["-a", "/from/.", "/to/"], entrypoint="cp", volumes=binds, remove=True, network_mode="none"
    )


def create(client: docker.DockerClient, image: str, *, name: str, hostname: str, volume: str,
           labels: Mapping[str, str], ports: Mapping[str, Any]) -> Container:  # fmt: skip
    """A container in which an engine can run: privileged, or with every capability that the machine does have."""
    from docker.errors import APIError

    privileged = may_be_privileged(client, image)
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


def may_be_privileged(client: docker.DockerClient, image: str) -> bool:
    """Whether this engine starts privileged containers (some machines lack a capability that this needs)."""
    from docker.errors import APIError

    try:
        tried = client.containers.create(image, entrypoint="true", privileged=True, network_mode="none")
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
    """Removes a volume and the container of the same name, where they are."""
    from docker.errors import NotFound

    for found in (client.containers, client.volumes):
        try:
            found.get(name).remove(force=True)
        except NotFound:
            continue


def purge(client: docker.DockerClient) -> None:
    """Removes seeds and images that no container uses any more."""
    from docker.errors import APIError

    for found in client.volumes.list(filters={"label": "compose-runbook.seed"}):
        found.remove(force=True)
    for image in client.images.list(name=images.REPOSITORY):
        try:
            client.images.remove(image.id, force=True)
        except APIError:
            continue
