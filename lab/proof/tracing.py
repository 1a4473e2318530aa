"""How programs are traced, and whether they can be on this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lab.proof import calls


def cannot() -> str:
    """Why nothing can be traced on this machine; empty where it can."""
    if not shutil.which("strace"):
        return "it needs strace: apt-get install strace"
    done = subprocess.run(["strace", "-qq", "-e", "trace=sync", "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"it needs strace, which may not trace here: {done.stderr.strip()[-100:]}"


def recorder(log: Path) -> tuple[str, ...]:
    """The words in front of a program's that record its file operations in `log`, for `calls.record`."""
    traced = f"trace={','.join(calls.CALLS)}"
    return ("strace", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", traced, "-o", str(log), "-A")
