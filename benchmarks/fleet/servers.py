"""SSH hosts on loopback: a folder and an sshd each, with host keys of its own, or many folders behind one sshd.

Everything is below one temporary folder and gone afterwards; servers are stopped by their ids. Where it may, each host sees its folder in one
and the same place, as the hosts of a fleet do: their stacks are the same then, directory and all. The account's own shell
start-up files are left out (HOME is an empty folder), since what they cost is not what is measured.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from inventory.errors import HostFailed, InputError

SSHD = "/usr/sbin/sshd"
_STARTED = re.compile(rb"Starting session: (command|subsystem)")
_TRANSFERRED = re.compile(rb"Transferred: sent (\d+), received (\d+) bytes")
_ENDED = re.compile(rb"Closing connection to|Disconnected from user|Read error from remote host")
"""The last line of a connection: a client that says goodbye (OpenSSH's) has the second, and its bytes are not told."""
_ACCEPTED = re.compile(rb"Accepted publickey")


@dataclass
class Fleet:
    """The hosts while they are there. `ports` are where clients connect to, a host each (the same for one shared sshd)."""

    folder: Path
    names: tuple[str, ...]
    ports: tuple[int, ...]
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    counted: bool = False
    """Whether the servers share a process namespace of their own."""
    alike: bool = False
    """Whether each host sees its own folder in the same place, as the hosts of a fleet do."""

    @property
    def key(self) -> Path:
        return self.folder / "login"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def project(self, name: str) -> Path:
        """The project's folder of a host."""
        return self.folder / "hosts" / name / "srv"

    def state(self, name: str) -> Path:
        """Where a host keeps journal and snapshots."""
        return self.folder / "hosts" / name / "state"

    def seen(self, name: str, path: Path) -> str:
        """A path of a host's folder as programs on that host see it."""
        return str(self.folder / "host" / path.relative_to(self.folder / "hosts" / name)) if self.alike else str(path)

    def sessions(self) -> tuple[int, int]:
        """Connections, and programs started over them, so far, as the servers' logs have them."""
        logs = [path.read_bytes() for path in self.folder.glob("sshd*/log")]
        return sum(len(_ACCEPTED.findall(log)) for log in logs), sum(len(_STARTED.findall(log)) for log in logs)

    def transferred(self, connections: int) -> tuple[int, int]:
        """Bytes that went to the hosts and came from them so far, as the servers count them when a connection has ended.

        Waits at most 10 s until that many connections have. Those that OpenSSH's client made do not count: the server says nothing of them.
        """
        until = time.monotonic() + 10
        while True:
            logs = b"".join(path.read_bytes() for path in self.folder.glob("sshd*/log"))
            if len(_ENDED.findall(logs)) >= connections or time.monotonic() > until:
                found = [(int(to), int(sent)) for sent, to in _TRANSFERRED.findall(logs)]
                return sum(to for to, _ in found), sum(sent for _, sent in found)
            time.sleep(0.05)

    def processes(self) -> int | None:
        """Processes started on the hosts so far, by the counter of the process namespace that they share; None without one."""
        if not self.counted:
            return None
        words = ["nsenter", "-t", str(_only_child(self.children[0].pid)), "-p", "sh", "-c", "echo $$"]
        return int(subprocess.run(words, capture_output=True, check=True).stdout)


@contextmanager
def fleet(count: int, *, servers: int | None = None, latency_s: float = 0.0) -> Iterator[Fleet]:
    """`count` hosts behind `servers` sshd (None: one each), reached through a proxy that delays by `latency_s` a round trip.

    Raises InputError where there is no sshd, HostFailed where one does not start.
    """
    if not Path(SSHD).exists() or not shutil.which("ssh-keygen"):
        raise InputError("there is no SSH server on this machine", mend="apt-get install openssh-server")
    with tempfile.TemporaryDirectory(prefix="runbook-fleet-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        names = tuple(f"host{number:04}" for number in range(1, count + 1))
        up = Fleet(folder, names, ())
        for name in names:
            up.project(name).mkdir(parents=True)
        (folder / "home").mkdir()
        (folder / "host").mkdir()
        up.alike = not servers and _may_mount(folder)
        _keygen(up.key)
        try:
            ports = [_serve(up, number) for number in range(min(servers or count, count))]
            if latency_s:
                ports = _delay(up, ports, latency_s)
            up.ports = tuple(ports[number % len(ports)] for number in range(count))
            public = [" ".join((folder / f"sshd{n}" / "key.pub").read_text().split()[:2]) for n in range(len(ports))]
            lines = (f"[127.0.0.1]:{port} {key}\n" for port, key in zip(ports, public, strict=True))
            up.known_hosts.write_text("".join(lines))
            yield up
        finally:
            for child in up.children:
                _stop(child)


def _serve(up: Fleet, number: int) -> int:
    """Starts one sshd and returns its port. All are in one process namespace where that is allowed, to count processes."""
    folder = up.folder / f"sshd{number}"
    folder.mkdir()
    _keygen(folder / "key")
    shutil.copyfile(f"{up.key}.pub", folder / "authorized_keys")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start without it
    port = free_port()
    known = Path(SSHD).read_bytes()
    lines = [
        f"ListenAddress 127.0.0.1:{port}", "PidFile none", "UsePAM no", "StrictModes no", "PasswordAuthentication no",
        "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password", f"HostKey {folder}/key", "UseDNS no",
        f"AuthorizedKeysFile {folder}/authorized_keys", "MaxStartups 4096", "LogLevel VERBOSE", "PrintMotd no",
        "Subsystem sftp internal-sftp", f"SetEnv HOME={up.folder}/home",
        *(["PerSourcePenalties no"] if b"PerSourcePenalties" in known else []),
    ]  # fmt: skip
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    log = folder / "log"
    words = [*_namespace(up), *_mounted(up, number), SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log.open("wb"), start_new_session=True)
    up.children.append(child)
    wait_for(port, child, log)
    return port


def _namespace(up: Fleet) -> list[str]:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("nsenter"):
        return []
    if not up.children:
        words = ["unshare", "--pid", "--fork", "--kill-child"]
        up.counted = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        return words if up.counted else []
    if not up.counted:
        return []
    return ["nsenter", "-t", str(_only_child(up.children[0].pid)), "-p"]


def _mounted(up: Fleet, number: int) -> list[str]:
    """What shows a server its host's folder where each host has it."""
    if not up.alike:
        return []
    own = str(up.folder / "hosts" / up.names[number])
    return [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$1" "$2" && shift 2 && exec "$@"',
        "sh",
        own,
        str(up.folder / "host"),
    ]


def _may_mount(folder: Path) -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    words = ["unshare", "--mount", "mount", "--bind", str(folder / "home"), str(folder / "host")]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _delay(up: Fleet, ports: list[int], latency_s: float) -> list[int]:
    """Starts the delaying proxy, a program of its own so that its work is not the controller's, and returns its ports."""
    wanted = {free_port(): port for port in ports}
    words = [sys.executable, "-m", "benchmarks.fleet.delay", str(latency_s), json.dumps(wanted)]
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, cwd=root, start_new_session=True)
    up.children.append(child)
    for port in wanted:
        wait_for(port, child, None)
    return list(wanted)


def free_port() -> int:
    """A port of loopback that nothing uses now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def wait_for(port: int, child: subprocess.Popen[bytes], log: Path | None) -> None:
    """Returns when an SSH server answers. Raises HostFailed when its process ended, or after 30 s."""
    end = time.monotonic() + 30
    while time.monotonic() < end and child.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as made:
                if made.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)
    raise HostFailed(f"an SSH server did not start: {log.read_text()[-300:] if log else 'no answer through the proxy'}")


def user() -> str:
    """Who logs in."""
    return getpass.getuser()


def _keygen(path: Path) -> None:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", str(path)]
    subprocess.run(words, check=True)


def _stop(child: subprocess.Popen[bytes]) -> None:
    # What started a server in the process namespace waits for it, and passes no signal on.
    with suppress(OSError, IndexError):
        words = child.args if isinstance(child.args, list) else []
        os.kill(_only_child(child.pid) if {"unshare", "nsenter"} & {*words[:1]} else child.pid, signal.SIGTERM)
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
