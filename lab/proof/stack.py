"""A small run of the real runner over a bed: two stages, two services, a stand-in for docker. What exchanges are struck in."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Event as Flag

from checks.model import Gate, Probe
from inventory.engine import Compose
from inventory.errors import Unreachable
from inventory.link import Reply
from inventory.model import Host, Inventory, Project
from inventory.secrets import Mask
from lab.proof.bed import Bed
from lab.proof.shell import SHELLS, ShellLink
from rollback.commit import HostWriter
from rollback.model import FileState
from runbooks import events, run_model, runner, undo
from runbooks.hostrun import HostRun
from runbooks.plan_model import HostPlan, Plan, PlannedFile, Restart, Stage, StartupPlan, StepPlan
from runbooks.session import Session

GATE = Gate(window_s=0.1, interval_s=0.1, min_samples=1)
COMPOSE, MADE, LOCK = "docker-compose.yml", "made.conf", ".compose-runbook.lock"
HOST = "here"


def silent(_event: events.Event) -> None:
    """A sink that takes nothing."""


class Struck(ShellLink):
    """A link that counts its exchanges and is struck at the `at`-th, and gone from then on.

    before, after: it is lost before or after the program ran; half: while data are on their way; kill-before, kill-during,
    kill-after: the controller is killed then; engine: the engine is stopped then, and the link goes on.
    """

    def __init__(self, bed: Bed, fault: str = "", at: int = 0) -> None:
        super().__init__(bed.project, bed.shell, path=str(bed.base / "bin"))
        self.host = Host(HOST, HOST, Project(str(bed.project), "shop", state_dir=str(bed.state)), connection="local")
        self.fault, self.at, self.away, self.lost = fault, at, bed.base / "bin" / "away", False
        self.lock = threading.Lock()

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 1 << 26, alone: bool = False) -> Reply:  # fmt: skip
        with self.lock:
            number = self.exchanges + 1
            if number != self.at or not self.fault:
                if self.lost:
                    raise Unreachable("the link was lost", host=HOST)
                return super().run(program, *args, data=data, timeout_s=timeout_s)
            if self.fault == "engine":
                self.away.touch()
                return super().run(program, *args, data=data, timeout_s=timeout_s)
            self.lost = True
            if self.fault == "kill-before":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "kill-during":
                self._begin(program, args, data)
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault in ("after", "half", "kill-after"):
                super().run(
                    program, *args, data=data[: len(data) // 2] if self.fault == "half" else data, timeout_s=timeout_s
                )
            if self.fault == "kill-after":
                os.kill(os.getpid(), signal.SIGKILL)
            self.exchanges = number
            raise Unreachable("the link was lost", host=HOST)

    def _begin(self, program: str, args: tuple[str, ...], data: bytes) -> None:
        """Starts a program, gives it all its data, and does not wait for it: on a host it goes on without us.

        Waits until it holds the lock (as what writes does first) or has ended: before that nothing has begun, and who comes
        next could not know that anything will.
        """
        environment = {"PATH": f"{self.path}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/nonexistent"}
        child = subprocess.Popen(
            [*SHELLS[self.shell], "-c", program, "sh", *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=environment, start_new_session=True,
        )  # fmt: skip
        assert child.stdin  # noqa: S101 - it is a pipe
        child.stdin.write(data)
        child.stdin.close()
        lock = Path(self.host.project.directory) / LOCK
        while child.poll() is None and not lock.is_symlink():
            time.sleep(0.001)


def make(bed: Bed) -> None:
    """Puts up a bed with the stand-in for docker first on its path."""
    bed.make()
    (bed.base / "bin").mkdir()
    shutil.copy(Path(__file__).parent / "docker.sh", bed.base / "bin" / "docker")
    (bed.base / "bin" / "docker").chmod(0o755)


def plan(bed: Bed) -> Plan:
    """Two stages: the first changes a file and creates one, the second changes the first file again."""
    old, uid, gid = (bed.project / COMPOSE).read_bytes(), os.getuid(), os.getgid()
    now, stages = old, []
    restarts = tuple(Restart(service, "it changes", service == "db", 1.0, wait_s=5) for service in ("db", "web"))
    for number in (1, 2):
        after = old + f"# {number}\n".encode()
        state = FileState(str(bed.project / COMPOSE), sha256(now).hexdigest(), 0o640, uid, gid)
        files = [PlannedFile(state, now, after)]
        if number == 1:
            files.append(PlannedFile(FileState(str(bed.project / MADE), None), None, b"made"))
        step = StepPlan(f"step {number}", "conditions", "low", probes=(Probe("container", "container:web", "web"),))
        stages.append(Stage(number, (step,), GATE, files=tuple(files), restarts=restarts))
        now = after
    host = HostPlan(HOST, str(bed.project), Compose(str(bed.project), "shop"), tuple(stages), StartupPlan(),
                    images={"db": "sha256:old", "web": "sha256:old"})  # fmt: skip
    return Plan("1", "proof", ("step 1", "step 2"), (host,), "f", "k")


def writer(link: ShellLink, run: str) -> HostWriter:
    """The door to a bed over a link."""
    project = link.host.project
    return HostWriter(link, project.directory, "shop", run=run, who="eve@laptop", state_dir=project.state_dir)


def migrate(bed: Bed, link: ShellLink, emit: events.Sink = silent) -> int:
    """A whole run."""
    own = writer(link, "run-1")
    own.prepare()
    own.recover()
    made = plan(bed)
    host = HostRun(link, own, made.hosts[0], emit, lambda: False)
    return runner.migrate(run_model.Run("run-1", "eve@laptop", made, {HOST: host}, run_model.Options(), emit, Flag()))


def rollback(_bed: Bed, link: ShellLink, emit: events.Sink = silent, run: str = "run-2") -> int:
    """Undoes the run."""
    inventory = Inventory("proof", "proof.yml", (link.host,), {})
    session = Session(inventory, Mask(), "eve@laptop", run, {HOST: link})
    what, plans = undo.survey(session, run="run-1", to=None)
    for error in session.errors.values():
        raise error
    return undo.rollback(session, plans, what, emit, gate=GATE) if plans else 0


RUNS: dict[str, Callable[[Bed, ShellLink], int]] = {"migrate": migrate, "rollback": rollback}
