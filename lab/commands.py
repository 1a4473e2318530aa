"""`lab.up`, `status`, `ssh` and `down`: what the tasks of the practice hosts do."""

from __future__ import annotations

import subprocess
from dataclasses import asdict

from inventory.errors import InputError
from lab import hosts, progress
from lab.state import HOSTS, ROOT, LabState
from runbooks.output import Output


def up(out: Output, *, start: bool = True) -> int:
    """Brings up the practice hosts, and the platform on them unless told not to."""
    with progress.bars() as tell:
        hosts.up(tell, start=start)
    out.show("the practice hosts are up: try ./inv plan --phase 1 --env staging")
    return 0


def status(out: Output) -> int:
    """Each practice host: its container, its port, its engine's version."""
    found = list(hosts.status())
    for each in found:
        port = f"127.0.0.1:{each.port}" if each.port else "no port"
        out.show(
            f"{each.name:<14} {each.state:<10} {port:<18} {f'engine {each.engine}' if each.engine else 'no engine answers'}"
        )
    out.document([asdict(each) for each in found])
    return 0


def ssh(host: str, command: str = "") -> int:
    """Logs in to a practice host as an operator would. Returns ssh's exit code."""
    config = LabState(ROOT).ssh_config
    if host not in HOSTS:
        raise InputError(f"{host} is no practice host", key="HOST", mend=f"there are: {', '.join(HOSTS)}")
    if not config.exists():
        raise InputError("there are no practice hosts", mend="./inv lab.up")
    words = ["ssh", "-F", str(config), *([] if command else ["-t"]), host, *([command] if command else [])]
    try:
        return subprocess.run(words, check=False).returncode
    except FileNotFoundError:
        raise InputError("there is no ssh on this machine", mend="install an OpenSSH client") from None


def down(out: Output, *, purge: bool = False) -> int:
    """Removes what lab.up made."""
    with progress.bars() as tell:
        hosts.down(tell, purge=purge)
    out.show("the practice hosts are gone")
    return 0
