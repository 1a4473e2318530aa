"""What belongs to one checkout's practice hosts besides containers: its keys, pinned host keys, ports, and whose turn it is."""

from __future__ import annotations

import fcntl
import io
import json
import os
import socket
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab.progress import Progress
from lab.state import HOSTS, LabState, ssh_config


@contextmanager
def turn(progress: Progress, folder: Path = Path(__file__).parent) -> Iterator[None]:
    """Keeps a second `lab.up` or `lab.down` of this checkout waiting until the first has ended. `folder` is what is locked."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting: another lab.up or lab.down of this checkout is at work")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def identity(state: LabState) -> dict[str, int]:
    """The checkout's own keys, pinned host keys and ports, made at first use. Returns host -> port."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    state.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = state.folder / "ports.json"
    if stamp.exists():
        return {str(host): int(port) for host, port in json.loads(stamp.read_text()).items()}
    lines = []
    for name in ("id_ed25519", *HOSTS):
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
        public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
        write_private(state.folder / name, private)
        write_private(state.folder / f"{name}.pub", public.encode() + b"\n")
        if name in HOSTS:
            lines.append(f"{name} {public}\n")
    ports = free_ports()
    write_private(state.known_hosts, "".join(lines).encode())
    write_private(state.ssh_config, ssh_config(state, ports).encode())
    write_private(stamp, json.dumps(ports).encode())
    return ports


def free_ports() -> dict[str, int]:
    """A free port on loopback for each host."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in HOSTS]
    ports = {host: int(server.getsockname()[1]) for host, server in zip(HOSTS, sockets, strict=True)}
    for server in sockets:
        server.close()
    return ports


def write_private(path: Path, data: bytes) -> None:
    """Whole or not at all: an interruption leaves no half of a key."""
    draft = path.with_name(f".{path.name}")
    draft.touch(mode=0o600)
    draft.write_bytes(data)
    draft.replace(path)


def host_files(state: LabState, host: str) -> Mapping[str, tuple[bytes, int, int]]:
    """What a host is given before its first start: path -> (bytes, mode, owner)."""
    return {
        "etc/ssh/ssh_host_ed25519_key": ((state.folder / host).read_bytes(), 0o600, 0),
        "etc/ssh/ssh_host_ed25519_key.pub": ((state.folder / f"{host}.pub").read_bytes(), 0o644, 0),
        "home/deploy/.ssh/authorized_keys": (state.key.with_suffix(".pub").read_bytes(), 0o600, 1000),
    }


def pack(files: Mapping[str, tuple[bytes, int, int]]) -> bytes:
    """A tar of files with mode and owner; a folder `.ssh` belongs to its files' owner."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, (data, mode, owner) in files.items():
            if Path(path).parent.name == ".ssh":
                folder = tarfile.TarInfo(str(Path(path).parent))
                folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o700, owner, owner
                tar.addfile(folder)
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.uid, info.gid, info.mtime = len(data), mode, owner, owner, int(time.time())
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
