"""Environments of the peers, each from its hash-locked requirements, made once and kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from inventory.errors import HostFailed

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"


def python(name: str) -> Path:
    """The interpreter of the environment for `requirements/NAME.txt`. Raises HostFailed when it cannot be made."""
    lock = REQUIREMENTS / f"{name}.txt"
    cache = Path(os.environ.get("RUNBOOK_TEST_CACHE", "~/.cache/compose-runbook-tests")).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = cache / f"{name}-{digest}"
    done = home / "complete"
    with (cache / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not done.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
            pip = [str(home / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check", "--require-hashes"]
            made = subprocess.run([*pip, "-r", str(lock)], capture_output=True, text=True, check=False)
            if made.returncode != 0:
                raise HostFailed(f"{name} cannot be installed: {made.stderr.strip().splitlines()[-1:]}")
            done.touch()
    return home / "bin" / "python"
