"""A link to this machine through a shell of one's choice, in a process group of its own: what the proof strikes at."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import HostFailed
from inventory.link import Call, Reply
from inventory.model import Host, Project

if TYPE_CHECKING:
    import docker
    import requests

SHELLS = {"dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}
"""The shells that the program must run under, by name."""


class ShellLink:
    """Runs programs by a named shell on this machine, with `path` first on PATH.

    `more` is put into the environment; `user` is whose rights it has, where this is root; `bounds` are words of `ulimit`;
    `before` is text in front of the program, `through` words in front of the shell.
    """

    def __init__(self, project: Path, shell: str = "dash", path: str = "", more: Mapping[str, str] | None = None,
                 user: int | None = None, bounds: str = "", before: str = "", through: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.host = Host("here", "here", Project(str(project)), connection="local")
        self.shell, self.path, self.more, self.user, self.before = shell, path, dict(more or {}), user, before
        self.words = (*through, *(("sh", "-c", f'ulimit {bounds}; exec "$@"', "sh") if bounds else ()), *SHELLS[shell])
        self.exchanges = 0

    def run(self, program: str, *args: str, data: bytes = b"", timeout_s: float = 60.0, become: bool = False,
            limit: int = 1 << 26, alone: bool = False) -> Reply:  # fmt: skip
        self.exchanges += 1
        begin = time.monotonic()
        environment = {
            "PATH": (self.path + ":" if self.path else "") + "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/nonexistent",
            **self.more,
        }
        try:
            done = subprocess.run(
                [*self.words, "-c", self.before + program, "sh", *args],
                input=data,
                check=False,
                capture_output=True,
                timeout=timeout_s,
                env=environment,
                start_new_session=True,
                restore_signals=False,  # SIGXFSZ stays ignored: a file that grows too long is an error, as on a full disk
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
        except subprocess.TimeoutExpired:  # its words are the whole program
            raise HostFailed(f"a program took more than {timeout_s:g} s", host=self.host.name) from None
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return Reply(code, done.stdout, done.stderr, time.monotonic() - begin)

    def together(self, calls: Sequence[Call], *, timeout_s: float = 60.0, limit: int = 64 << 20) -> list[Reply]:
        return [self.run(call.program, *call.args, data=call.data, timeout_s=timeout_s, limit=limit) for call in calls]

    def docker(self) -> docker.APIClient:
        raise NotImplementedError

    def http(self) -> requests.Session:
        raise NotImplementedError

    def dial(self, address: str, port: int, timeout_s: float) -> float:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is kept open."""
