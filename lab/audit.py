"""Known vulnerabilities of what the tool runs with: pip-audit, in an environment of its own, about the hash-locked requirements.

It asks a service on the network, so what it says of one commit may differ from day to day, and where the service is out of reach
it says nothing at all. `./inv audit` fails in both cases; the whole test run tells what it found, and is not judged by it.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inventory.errors import InputError, RunbookError
from lab import environments, locks
from runbooks.output import Output

SERVICE = "https://api.osv.dev/v1/query"
"""What answers which versions are known to be vulnerable; any service that speaks OSV's language."""
RUN_WITH = ("runtime", "aggregator", "dask")
"""The locks of what a user of the tool runs. What only tests run with sees no host."""
WAIT_S, WHOLE_S = 10, 90
"""Seconds for one answer, and for all of a lock."""


@dataclass(frozen=True)
class Advisory:
    """A version that is known to be vulnerable. `mended` are the versions that are not, as far as is known."""

    lock: str
    name: str
    version: str
    id: str
    mended: tuple[str, ...]

    def __str__(self) -> str:
        mend = (
            f"mended in {', '.join(self.mended)}: ./inv lock --upgrade"
            if self.mended
            else "no version is known that mends it"
        )
        return f"requirements/{self.lock}.txt: {self.name} {self.version} has {self.id} ({mend})"


def advisories(service: str = SERVICE, folder: Path = locks.FOLDER) -> list[Advisory]:
    """What is known of the locks in `folder`. Raises RunbookError where pip-audit cannot be had or the service does not answer."""
    if not service.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise InputError(f"{service!r} is no address of HTTPS", key="--advisories", mend=f"such as {SERVICE}")
    program = environments.python("audit").with_name("pip-audit")
    found = []
    for name in RUN_WITH:
        lock = folder / f"{name}.txt"
        words = [str(program), "-r", str(lock), "--require-hashes", "--disable-pip", "-s", "osv", "--osv-url", service,
                 "-f", "json", "--progress-spinner", "off", "--timeout", str(WAIT_S)]  # fmt: skip
        for entry in _answered(words, service):
            found += [
                Advisory(name, entry["name"], entry["version"], each["id"], tuple(each["fix_versions"]))
                for each in entry["vulns"]
            ]
    return found


def _answered(words: list[str], service: str) -> list[dict[str, Any]]:
    """What pip-audit says of each package. Nothing counts as looked at that was left out."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=WHOLE_S, check=False, env=_plain())
    except subprocess.TimeoutExpired:
        raise _silent(service, f"no answer within {WHOLE_S} s") from None
    try:
        entries = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise _silent(service, (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]) from None
    for entry in entries:
        if "vulns" not in entry:
            raise _silent(service, str(entry.get("skip_reason", f"{entry.get('name')} was left out")))
    return list(entries)


def _silent(service: str, why: str) -> RunbookError:
    return RunbookError(f"{service} was not asked about vulnerabilities: {why}", mend="repeat where it is reachable, or name another by --advisories")  # fmt: skip


def _plain() -> dict[str, str]:
    """The environment without pip-audit's own settings, which could leave packages out."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PIP_AUDIT_")}


def audit(out: Output, *, service: str = SERVICE) -> int:
    """Shows what is known. Returns 1 where something is."""
    found = advisories(service)
    for each in found:
        out.show(str(each), style="red")
    out.show(f"{len(found)} known vulnerabilities in what the tool runs with")
    out.document({"service": service, "found": [asdict(each) for each in found]})
    return 1 if found else 0


def tell(out: Output, *, service: str = SERVICE) -> None:
    """The same as news, for a run that is judged by the code alone."""
    try:
        audit(out, service=service)
    except RunbookError as error:
        out.warn(str(error))
