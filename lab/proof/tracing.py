"""Whether programs can be traced on this machine."""

from __future__ import annotations

import shutil
import subprocess


def cannot() -> str:
    """Why nothing can be traced on this machine; empty where it can."""
    if not shutil.which("strace"):
        return "it needs strace: apt-get install strace"
    done = subprocess.run(["strace", "-qq", "-e", "trace=sync", "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"it needs strace, which may not trace here: {done.stderr.strip()[-100:]}"
