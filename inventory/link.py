"""What a link to a host can do, whichever way it is made (SSH or local). See `connection` for how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from inventory.model import Host
from inventory.values import frozen

if TYPE_CHECKING:
    import docker
    import requests


@frozen
class Reply:
    """How a program on a host ended. `exit` is its exit code (128 + n after signal n), `seconds` its whole exchange."""

    exit: int
    out: bytes
    err: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become U+FFFD."""
        return self.out.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        """The last line on standard error, where programs say what went wrong; where there is none, the exit code."""
        said = self.err.decode("utf-8", "replace").strip().splitlines()
        return said[-1] if said else f"exit {self.exit}"


@frozen
class Call:
    """A program of an exchange: POSIX sh text, its `$1 ...`, its standard input, and whether it runs as root.

    `own`: as a process of its own, whose number `$$` no other program has and whose words the process list shows.
    """

    program: str
    args: tuple[str, ...] = ()
    data: bytes = b""
    become: bool = False
    own: bool = False


class Link(Protocol):
    """One kept connection to one host. Safe to use from several threads; at most 8 sessions at once."""

    host: Host
    exchanges: int
    """Programs run so far, for the benchmark's counts."""

    def run(
        self,
        program: str,
        *args: str,
        data: bytes = b"",
        timeout_s: float = 60.0,
        become: bool = False,
        limit: int = 64 << 20,
        alone: bool = False,
    ) -> Reply:
        """One exchange: runs POSIX sh text with `$1 ...` from `args` and `data` on standard input.

        `alone`: in a session of its own, for an operator's command, which may leave something running that still
        holds its outputs; the reply then is over when nothing holds them.

        Never raises for a non-zero exit. Raises `Unreachable` when the link is lost, `HostFailed` when `timeout_s`
        passed or the reply is longer than `limit` bytes.
        """

    def together(self, calls: Sequence[Call], *, timeout_s: float = 60.0, limit: int = 64 << 20) -> list[Reply]:
        """One exchange: runs several programs one after another, whatever each ends with. Raises as `run` does."""

    def docker(self) -> docker.APIClient:
        """The host's Docker API over this link (pool of 4); made at first use."""

    def http(self) -> requests.Session:
        """A session whose `http(s)://address:port` are dialled from the host, over this link."""

    def dial(self, address: str, port: int, timeout_s: float) -> float:
        """Seconds that a TCP connect from the host to `address:port` took. Raises OSError when refused or late."""

    def close(self) -> None: ...
