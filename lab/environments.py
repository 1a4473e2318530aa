"""Python environments beside the project's own: for tools whose requirements must not stand among the project's.

Each is made once outside the repository (RUNBOOK_TEST_CACHE, else ~/.cache/compose-runbook-tests) from the hash lock
requirements/NAME.txt, and again when that lock changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from inventory.errors import RunbookError

ROOT = Path(__file__).resolve().parent.parent


def python(name: str) -> Path:
    """The interpreter of the environment `name`. Raises RunbookError, with pip's last line, where it cannot be made."""
    lock = ROOT / "requirements" / f"{name}.txt"
    cache = Path(os.environ.get("RUNBOOK_TEST_CACHE", "~/.cache/compose-runbook-tests")).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = cache / f"{name}-{version}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    done = home / "done"
    with (cache / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not done.exists():
            print(f"installing the locked requirements of {name} into an environment of its own", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
            pip = [str(home / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check", "--require-hashes"]
            made = subprocess.run([*pip, "-r", str(lock)], capture_output=True, text=True, check=False)
            if made.returncode != 0:
                last = (made.stderr.strip().splitlines() or ["no more is known"])[-1]
                raise RunbookError(f"requirements/{name}.txt cannot be installed here: {last}", mend="see its .in file")
            done.touch()
    return home / "bin" / "python"
