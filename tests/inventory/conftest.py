"""Inventories written as an operator would, and an SSH server of the tests' own on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from inventory import inventory
from inventory.connection import connect
from inventory.link import Link
from inventory.model import Host, Inventory, Project
from inventory.secrets import Mask
from tests.services.servers import free_port

SSHD = "/usr/sbin/sshd"
KEYS = ("ed25519", "rsa")


@dataclass(frozen=True)
class Folder:
    """A folder of inventories: `write` a file in it, `load` an environment of it."""

    path: Path

    def write(self, name: str, text: str | bytes, mode: int = 0o644) -> Path:
        made = self.path / name
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_bytes(text.encode() if isinstance(text, str) else text)
        made.chmod(mode)
        return made

    def load(self, text: str | bytes | None = None, environment: str = "shop") -> Inventory:
        if text is not None:
            self.write(f"{environment}.yml", text)
        return inventory.load(environment, self.path)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = tmp_path / "inventories"
    made.mkdir()
    return Folder(made)


@dataclass(frozen=True)
class Server:
    """A running sshd: where it is, whom it lets in, and how ssh_config and known_hosts would name it."""

    folder: Path
    port: int
    pid: int

    def public(self, kind: str = "ed25519") -> str:
        """A host key as known_hosts writes it: type and key."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def fingerprint(self, kind: str = "ed25519") -> str:
        """A host key's fingerprint, as ssh-keygen prints it for whoever reads it on the console."""
        words = ["ssh-keygen", "-lf", str(self.folder / f"host_{kind}.pub")]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[1]

    def known(self, *lines: str) -> Path:
        """A known_hosts file. `{here}` stands for this server's name in it."""
        path = self.folder / "known_hosts"
        path.write_text("".join(line.format(here=f"[127.0.0.1]:{self.port}") + "\n" for line in lines))
        return path

    def host(self, args: str = "", **changes: object) -> Host:
        """This server as a host of an inventory, reached with what `known` was written last."""
        common = (
            f"-F /dev/null -o UserKnownHostsFile={self.folder}/known_hosts -o GlobalKnownHostsFile=/dev/null {args}"
        )
        made = Host(
            "web-1", "127.0.0.1", Project("/srv/shop"), port=self.port, user=getpass.getuser(),
            key_file=str(self.folder / "login"), variables={"ansible_ssh_common_args": common},
        )  # fmt: skip
        return replace(made, **changes)

    def sessions(self) -> list[int]:
        """The processes that serve connections, of this server only."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


def keygen(path: Path, kind: str = "ed25519") -> None:
    words = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run([*words, *(["-b", "2048"] if kind == "rsa" else [])], check=True)


@pytest.fixture(scope="session")
def server_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Host keys, and the operator's own; made once, because RSA keys take their time."""
    if not Path(SSHD).exists() or not shutil.which("ssh-keygen"):
        pytest.skip("no SSH server on this machine: apt-get install openssh-server")
    made = tmp_path_factory.mktemp("keys")
    for kind in KEYS:
        keygen(made / f"host_{kind}", kind)
    for name in ("login", "stranger"):
        keygen(made / name)
    return made


@pytest.fixture(scope="session")
def serve(server_keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts servers, each with lines of its own in sshd_config; all are stopped at the end, by their ids."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*lines: str) -> Server:
        folder = tmp_path_factory.mktemp("sshd")
        for path in server_keys.iterdir():
            shutil.copy2(path, folder / path.name)
        shutil.copy2(folder / "login.pub", folder / "authorized_keys")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start without it
        port = free_port()
        settings = [
            *lines, f"ListenAddress 127.0.0.1:{port}", "PidFile none", "UsePAM no", "StrictModes no",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password",
            f"AuthorizedKeysFile {folder}/authorized_keys", *(f"HostKey {folder}/host_{kind}" for kind in KEYS),
            "LogLevel QUIET", "PerSourcePenalties no" if "PerSourcePenalties" in options() else "",
        ]  # fmt: skip
        (folder / "sshd_config").write_text("\n".join(settings) + "\n")
        words = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=(folder / "log").open("wb"))
        started.append(child)
        wait_for(port, child, folder / "log")
        return Server(folder, port, child.pid)

    yield start
    for child in started:
        child.send_signal(signal.SIGTERM)
    for child in started:
        child.wait(10)


def options() -> str:
    """What this sshd says about itself, to leave out settings that it does not know."""
    return Path(SSHD).read_bytes().decode("latin-1")


def wait_for(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when the server answers with its banner."""
    for _ in range(200):
        assert child.poll() is None, log.read_text()
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as made:
                if made.recv(4) == b"SSH-":
                    return
        except ConnectionRefusedError:
            child_has_time()
    raise AssertionError(f"sshd did not answer: {log.read_text()}")


def child_has_time() -> None:
    """Gives a starting server the processor; the only other way to know it is up would be systemd's."""
    import select

    select.select([], [], [], 0.02)


@pytest.fixture(scope="session")
def server(serve: Callable[..., Server]) -> Server:
    """The usual server."""
    return serve()


@pytest.fixture
def links() -> Iterator[Callable[[Host], Link]]:
    """Connects to hosts; whatever was opened is closed at the end."""
    opened: list[Link] = []

    def make(host: Host, mask: Mask | None = None) -> Link:
        opened.append(connect(host, mask or Mask()))
        return opened[-1]

    yield make
    for link in opened:
        link.close()
