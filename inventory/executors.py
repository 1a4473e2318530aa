"""Who does the hosts' work: threads of the controller, or the workers of a Dask cluster, as an executor of `concurrent.futures`.

Dask is an extra (`requirements/dask.txt`) and imported only here, only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory.errors import InputError, Refused, Unreachable

if TYPE_CHECKING:
    from distributed import Client

THREADS = "threads"
SCHEMES = {"dask": "tcp", "dask+tls": "tls"}
ANSWER_S = 10.0
"""Seconds that a scheduler has to answer."""
ROOT = Path(__file__).resolve().parent.parent
SENT = ("inventory", "checks", "rollback", "runbooks")
"""The packages that a worker runs: they must be the controller's own."""
INSTALL = "on the controller and on each worker: .venv/bin/pip install --require-hashes -r requirements/dask.txt"


@contextmanager
def executor(named: str) -> Iterator[Executor | None]:
    """The executor that `--executor` names; None for threads, which need not be sent anything.

    Raises InputError for a word that names none and where Dask is not installed, Unreachable where no scheduler answers or
    it has no worker, Refused where a worker has another version of this program.
    """
    if named in ("", THREADS):
        yield None
        return
    scheme, _, where = named.partition("://")
    host, _, port = where.rpartition(":")
    if scheme not in SCHEMES or not host or not port.isdecimal():
        raise InputError(f"{named!r} is no executor", key="--executor", mend="write threads, or dask://HOST:PORT")
    client = _client(f"{SCHEMES[scheme]}://{where}", where)
    try:
        _same_everywhere(client, where)
        # Each host's work is a task of its own, however equal it looks to another's.
        yield client.get_executor(pure=False)
    finally:
        client.close()


def _client(address: str, where: str) -> Client:
    try:
        import distributed
    except ImportError:
        raise InputError("Dask is not installed here", key="--executor", mend=INSTALL) from None
    import logging

    # What goes wrong is one clear line; its own log would say it again, over many.
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return distributed.Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise Unreachable(
            f"no Dask scheduler answers at {where}: {why}", key="--executor", mend="start one there: dask scheduler"
        ) from None


def _same_everywhere(client: Client, where: str) -> None:
    """Sees that there are workers, and that each runs this very program."""
    try:
        found: dict[str, Any] = client.run(version)
    except ImportError as error:
        raise Refused(
            f"a worker of {where} lacks a module: {error}", key="--executor",
            mend="start the workers in a checkout of this version: PYTHONPATH=. dask worker ...",
        ) from None  # fmt: skip
    except Exception as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise Unreachable(f"the workers of {where} cannot be asked: {why}", key="--executor") from None
    if not found:
        raise Unreachable(f"the scheduler at {where} has no worker", key="--executor", mend="start some: dask worker")
    mine = version()
    others = sorted(name for name, theirs in found.items() if theirs != mine)
    if others:
        raise Refused(
            f"{others[0]} runs another version of this program", key="--executor",
            mend="let every worker run from the same checkout",
        )  # fmt: skip


def version() -> str:
    """A digest of the program's own text, wherever this runs."""
    whole = sha256()
    for package in SENT:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".sh"):
                whole.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return whole.hexdigest()
