"""Debian packages that the lab and the tests need, installed as root; an installation that broke off is finished first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from inventory.errors import RunbookError


class NotRoot(RunbookError):
    """Packages are missing that only root on Debian or Ubuntu can install."""


MEND = "repeat as root on Debian or Ubuntu, or install them yourself"
LOCK_LIMIT_S = 300
"""Seconds to wait for another installation on the same machine to end."""


def apt_install(*packages: str) -> None:
    """Installs Debian packages as root. Raises NotRoot where it cannot, RunbookError where that fails."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NotRoot(f"needs {', '.join(packages)}, which only root on Debian or Ubuntu can install", mend=MEND)
    print(f"installing {', '.join(packages)}", file=sys.stderr)
    environment = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", f"DPkg::Lock::Timeout={LOCK_LIMIT_S}"]
    # What an interruption left unpacked keeps apt from doing anything until it is configured.
    for words in (
        ["dpkg", "--configure", "-a"],
        [*apt, "update"],
        [*apt, "install", "-y", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0 and words[0] != "dpkg":
            last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
            raise RunbookError(f"{' '.join(words)} failed: {last}", mend=MEND)
