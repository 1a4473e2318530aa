"""The Docker engine that the practice hosts run on: the one that answers, else one that this module starts as root.

An engine of the lab's own has its own socket, data root and pid file in the cache folder, which checkouts share.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import RunbookError
from lab.packages import NotRoot, apt_install
from lab.state import cache

if TYPE_CHECKING:
    import docker

START_LIMIT_S = 60.0
PROGRAMS = {"dockerd": "docker.io", "iptables": "iptables"}
"""What an engine of the lab's own is started with, and the Debian package that has it."""


class NoEngine(RunbookError):
    """No engine answers here and none can be made to, or the one that does allows no engine inside."""


MEND = "start Docker, or run as root on Debian or Ubuntu; `./inv plan --phase 1 --file FILE` needs no engine"


def client() -> docker.DockerClient:
    """A client of the engine that answers, made to answer if need be. Raises NoEngine with the way without one."""
    found = answering()
    if found:
        return found
    with locked("engine"):
        found = answering()
        if found:
            return found
        install()
        start()
    found = answering()
    if not found:
        raise NoEngine(f"the Docker engine does not answer: {last_word()} (all of it: {log_file()})", mend=MEND)
    return found


def answering() -> docker.DockerClient | None:
    """A client of DOCKER_HOST, the usual socket or the lab's own engine, whichever answers first."""
    import docker
    from docker.errors import DockerException

    for url in (os.environ.get("DOCKER_HOST"), "unix:///var/run/docker.sock", f"unix://{socket()}"):
        if not url or (url.startswith("unix://") and not Path(url[7:]).exists()):
            continue
        try:
            found = docker.DockerClient(base_url=url, timeout=600)
            found.ping()
            return found
        except DockerException:
            continue
        except OSError:
            continue
    return None


def install() -> None:
    """Installs an engine where that can be done without asking: as root on Debian or Ubuntu.

    An installation that was interrupted has `dockerd` already, but not yet what it needs: then it is finished.
    """
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if "docker.io" not in missing and os.geteuid() != 0:
        raise NoEngine("no Docker engine answers, and starting one needs root", mend=MEND)
    if missing:
        try:
            apt_install(*missing)
        except NotRoot as error:
            raise NoEngine(error.message, mend=MEND) from None


@contextmanager
def errors() -> Iterator[None]:
    """What the engine refuses is one line of its own words. Raises RunbookError."""
    from docker.errors import APIError, DockerException

    try:
        yield
    except DockerException as error:
        why = str(error.explanation if isinstance(error, APIError) else error) or type(error).__name__
        raise RunbookError(
            f"the Docker engine says: {why.splitlines()[0]}", mend="./inv lab.down, then again"
        ) from error


def last_word() -> str:
    """Why the engine did not start, in its own words."""
    try:
        return log_file().read_text(errors="replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return "it said nothing"


def start() -> None:
    """Starts the lab's own engine, detached, and waits until it answers or has ended."""
    folder = cache() / "engine"
    folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    argv = [
        "dockerd",
        f"--host=unix://{socket()}",
        f"--data-root={folder / 'data'}",
        f"--exec-root={folder / 'exec'}",
        f"--pidfile={pid_file()}",
    ]
    with log_file().open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if answering():
            return
        time.sleep(0.1)


def stop() -> bool:
    """Stops the lab's own engine, if it runs and holds no container. True when it was stopped."""
    import docker
    from docker.errors import DockerException

    if not pid_file().exists():
        return False
    pid = int(pid_file().read_text())
    command = Path(f"/proc/{pid}/cmdline")
    try:
        # The pid may be another program's by now; only one that was told our socket is our engine.
        if str(socket()).encode() not in command.read_bytes():
            return False
        if docker.DockerClient(base_url=f"unix://{socket()}").containers.list(all=True):
            return False
    except (OSError, DockerException):
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + START_LIMIT_S
    while command.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return True


def socket() -> Path:
    return cache() / "engine" / "docker.sock"


def pid_file() -> Path:
    return cache() / "engine" / "docker.pid"


def log_file() -> Path:
    return cache() / "engine" / "dockerd.log"


@contextmanager
def locked(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Holds a lock that all checkouts of this user share. Without `wait` it may be another's: then it gives False."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
