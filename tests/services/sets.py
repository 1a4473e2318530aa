"""A real Redis with a replica, three Sentinels and the front on loopback, started by the step's own files under their own names."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from checks.model import Probe
from checks.probes import sentinel as kind
from checks.probes.kind import Answer, Judgement
from runbooks.shipped import script
from runbooks.steps import haproxy, redis_front
from runbooks.steps.redis_front import Set
from tests.services import servers

PASSWORD = 'ge"heim $x %20\\'
"""What would break where it is put into a text without care."""
HERE = 'mount --bind "$0" /etc/hosts && exec "$@"'
ALONE = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HERE]
PROGRAMS = ("/usr/bin/redis-server", "/usr/bin/redis-sentinel", "/usr/sbin/haproxy")


def possible() -> bool:
    """Whether this machine has the programs, and lets names be given to them alone."""
    if os.getuid() != 0 or not all(Path(each).exists() for each in PROGRAMS):
        return False
    return subprocess.run([*ALONE, "/etc/hosts", "true"], **servers.QUIET, check=False).returncode == 0


@dataclass
class Running:
    """A set that runs: its processes by their names, and the names' addresses, which may change."""

    folder: Path
    made: Set
    net: str
    front: int
    addresses: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def named(self) -> None:
        """Tells everybody where each name is; the file stays the same one, as it is mounted."""
        lines = [f"{address} {name}" for name, address in self.addresses.items()]
        with (self.folder / "hosts").open("w") as out:
            out.write("\n".join(["127.0.0.1 localhost", *lines, ""]))

    def start(self, name: str, *options: str, program: str = "start.sh") -> None:
        """Starts a node or a Sentinel as its container would; `program=""`: a node that asks nobody."""
        data = self.folder / name
        data.mkdir(exist_ok=True)
        own = self.folder / f"{name}.sh"
        text = (self.folder / "start.sh").read_text().replace("/data/", f"{data}/")
        own.write_text(text.replace("cat /sentinel.conf", f"cat {self.folder}/{name}.conf"))
        if name in self.made.nodes:
            other = next(each for each in self.made.nodes if each != name)
            command = ["redis-server", "--requirepass", PASSWORD, "--port", str(self.made.port), "--bind", self.addresses[name],
                       "--dir", str(data), "--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0", *options]  # fmt: skip
            asking = ["sh", str(own), "node", self.made.master, str(self.made.port), name, other, *self.made.sentinels, "--"]  # fmt: skip
            words = [*asking, *command] if program else command
        else:
            words = ["sh", str(own), "sentinel", self.made.master, name]
        log = (self.folder / f"{name}.log").open("ab")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "REDIS_PASSWORD": PASSWORD}
        self.processes[name] = subprocess.Popen(self.inside(*words), env=environment, cwd=data, stdout=log, stderr=log)

    def inside(self, *words: str) -> list[str]:
        """Words that run where the names are known."""
        return [*ALONE, str(self.folder / "hosts"), *words]

    def kill(self, *names: str, by: signal.Signals = signal.SIGKILL) -> None:
        for name in names:
            self.processes[name].send_signal(by)
            self.processes[name].wait(60)

    def client(self, name: str) -> redis.Redis:
        """A client of one node, Sentinel, or the front."""
        port = redis_front.SENTINEL_PORT if name in self.made.sentinels else self.made.port
        host = self.addresses.get(name, "127.0.0.1")
        return redis.Redis(host, self.front if name == self.made.front else port, password=PASSWORD, socket_timeout=5,
                           socket_connect_timeout=5, decode_responses=True, retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))  # fmt: skip

    def role(self, name: str) -> str:
        """master, slave (with its link up), or nothing."""
        try:
            found = self.client(name).info("replication")
        except redis.RedisError:
            return ""
        return str(found["role"]) if found.get("master_link_status", "up") == "up" else ""

    def may_lead(self, name: str) -> bool:
        """Whether a replica has had all of its master once."""
        return self.role(name) == "slave" and self.client(name).config_get("replica-priority") == {
            "replica-priority": "100"
        }

    def judged(self) -> Judgement:
        """The gate's own probe."""
        settings = {"master": self.made.master, "port": self.made.port, "nodes": self.made.nodes, "sentinels": self.made.sentinels}  # fmt: skip
        done = self.ran(
            kind.ASK, self.made.master, str(self.made.port), " ".join(self.made.nodes), *self.made.sentinels
        )
        return kind.judge(Probe("sentinel", "s", "s", settings), Answer(done.returncode, done.stdout, 0.1))

    def fail_back(self) -> subprocess.CompletedProcess[str]:
        """What a rollback asks first."""
        return self.ran(script("redis_failback"), self.made.master, *self.made.nodes, str(self.made.port), *self.made.sentinels)  # fmt: skip

    def ran(self, text: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.inside("sh", "-c", text, "sh", *words), env={**os.environ, "REDIS_PASSWORD": PASSWORD},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def well(self) -> None:
        servers.until(lambda: self.judged().ok, f"a whole set ({self.judged().detail})")

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


@contextmanager
def running(folder: Path, *, down_ms: int = 1000) -> Iterator[Running]:
    """A set from its first start until the end of the block. Each has an address of loopback of its own."""
    made = Set("redis", servers.free_port(), locked=True)
    net = f"127.{random.randint(16, 250)}.{random.randint(1, 250)}"
    found = Running(folder, made, net, servers.free_port())
    found.addresses = {name: f"{net}.{number}" for number, name in enumerate((*made.nodes, *made.sentinels), 1)}
    (folder / "start.sh").write_text(script("redis_start"))
    for name in made.sentinels:
        (folder / f"{name}.conf").write_text(
            redis_front.sentinel(made, down_ms).replace(
                "dir /data", f"dir {folder}/{name}\nbind {found.addresses[name]}"
            )
        )
    found.named()
    try:
        for name in (*made.sentinels, *made.nodes):
            found.start(name)
        servers.until(lambda: found.may_lead(made.replica), "the replica")
        found.kill(*made.sentinels)
        for name in made.sentinels:
            found.start(name)  # each looks at once, else after 10 s
        with fronted(found):
            yield found
    finally:
        for process in found.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(60)
        shutil.rmtree(folder)


@contextmanager
def fronted(found: Running) -> Iterator[None]:
    """The front's file in a real HAProxy, with this machine's addresses in place of names."""
    stats = servers.free_port()
    text = redis_front.front(found.made).replace(" resolvers engine init-addr last,libc,none", "")
    text = text.replace(f"bind :{found.made.port}\n", f"bind 127.0.0.1:{found.front}\n")
    text = text.replace(f"bind :{haproxy.STATS}\n", f"bind 127.0.0.1:{stats}\n")
    for name, address in found.addresses.items():
        text = text.replace(f"server {name} {name}:", f"server {name} {address}:")
    path = found.folder / "haproxy.cfg"
    path.write_text(text)
    with servers.running(["/usr/sbin/haproxy", "-db", "-f", path], stats, env={"REDIS_PASSWORD": PASSWORD}):
        yield
