"""Runs every check and test of the project: `./inv test` (all) and `./inv test --fast` (no Docker, nothing slow).

Does its own set-up: the locked development requirements, and as root on Debian or Ubuntu the few programs that tests
run for real (an SSH server, busybox); Docker Compose's command line where there is none. Without root the tests that
need an absent program say so and are skipped.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import compose_cli
from lab.packages import apt_install
from runbooks.output import Output

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("inventory", "rollback", "checks", "runbooks", "lab", "benchmarks", "cli", "services")
NOTHING_SELECTED = 5
"""pytest's exit code for a selection without a test, which is no failure: a path may hold only one of the two parts."""
PROGRAMS = {
    "/usr/sbin/sshd": "openssh-server", "/bin/busybox": "busybox", "/usr/bin/sudo": "sudo", "/usr/bin/strace": "strace",
    "/usr/bin/pg_createcluster": "postgresql", "/usr/sbin/pgbouncer": "pgbouncer", "/usr/sbin/haproxy": "haproxy", "/usr/bin/redis-server": "redis-server", "/usr/bin/redis-sentinel": "redis-sentinel",
    "/usr/bin/etcd": "etcd-server", "/usr/bin/etcdctl": "etcd-client", "/usr/bin/openssl": "openssl",
    "/usr/bin/systemd-analyze": "systemd", "/usr/sbin/cron": "cron",
}  # fmt: skip
LARGE = {"/usr/bin/chromium": "chromium", "/usr/bin/prometheus": "prometheus"}
"""What only the full run installs: a browser that reports are looked at in, and what scrapes metrics and checks rules."""


def run(*, fast: bool, lint: bool, drills: bool = False, select: str | None = None) -> int:
    """Sets up, lints, then runs the tests. Returns the exit code of the first that fails, else 0.

    `drills`: also those that kill servers under load for minutes, with which it takes more than an hour on 2 cores.
    """
    install_requirements()
    # Packages are mostly waited for, and the types are looked at by one processor: neither needs to wait for the other.
    with ThreadPoolExecutor(1) as beside:
        ready = beside.submit(get_ready, fast=fast)
        code = check() if lint else 0
        if code:
            return code
        fetched = ready.result()
    pytest = ["python", "-m", "pytest", select or "tests"]
    # What needs no practice hosts runs on all processors; the hosts are shared, so their tests take turns.
    # Quick tests wait as long as they work: one more of them at once than there are processors.
    spread = ["-n", str((os.cpu_count() or 1) + 1) if fast else "logical", "--dist", "worksteal"]
    parts = (
        [["-m", "not lab and not slow", *spread]]
        if fast
        else [["-m", "not lab", *spread], ["-m", "lab" if drills else "lab and not drill"]]
    )
    environment = os.environ if fast else {"RUNBOOK_EXHAUSTIVE": "1", "RUNBOOK_EXAMPLES": "10000"} | dict(os.environ)
    environment = dict(environment) | ({compose_cli.VARIABLE: fetched} if fetched else {})
    environment |= {"RUNBOOK_DRILLS": "1"} if drills else {}
    # Hundreds of programs are started: compiled once, whatever the shell says, and beside the tree.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(Path(sys.prefix) / "pycache")
    codes = [call([*pytest, *part], environment) for part in parts]
    return next((code for code in codes if code not in (0, NOTHING_SELECTED)), 0)


def get_ready(*, fast: bool) -> str:
    """Installs the programs that tests run, and tells in the full run what is known to be vulnerable. Returns the path of a
    Compose that was fetched for them, else nothing."""
    install_programs(PROGRAMS if fast else PROGRAMS | LARGE)
    if not fast:
        from lab import audit

        audit.tell(Output())
    return compose_cli.provide()


def lint() -> int:
    """`check`, with its own set-up."""
    install_requirements()
    return check()


def check() -> int:
    """Format, style, types, import contract, shell programs and locks. Returns the first exit code that is not 0."""
    scripts = [
        str(path.relative_to(ROOT)) for path in sorted([*ROOT.glob("*/*.sh"), *ROOT.glob("lab/images/*/*entrypoint")])
    ]
    checks = (
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["mypy", *PACKAGES, "tasks.py"],
        ["lint-imports", "--no-cache"],
        ["shellcheck", "--shell=sh", "inv", *scripts],
        ["shellcheck", ".ci/run"],
    )
    for words in checks:
        code = call(words, os.environ)
        if code:
            return code
    from lab import locks

    return locks.check()


def lock(*, upgrade: bool = False) -> int:
    """Writes requirements/*.txt anew from the .in files beside them, with hashes. Versions stay unless `upgrade`."""
    install_requirements()
    words = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--universal", "--python-version", "3.11",
             "--no-header", "--no-annotate", "--no-emit-index-url", *(["--upgrade"] if upgrade else [])]  # fmt: skip
    for source in sorted((ROOT / "requirements").glob("*.in")):
        code = call([*words, str(source), "--output-file", str(source.with_suffix(".txt"))], os.environ)
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


def install_programs(programs: Mapping[str, str]) -> None:
    """Installs the system programs that tests run for real.

    Not on a machine with systemd: there the package would start a server that its owner did not ask for.
    """
    missing = sorted(package for path, package in programs.items() if not Path(path).exists())
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get") or Path("/run/systemd/system").exists():
        print(f"tests that need {', '.join(missing)} are skipped: install them to run all", file=sys.stderr)
        return
    apt_install(*missing)


def call(words: Sequence[str], environment: os._Environ[str] | dict[str, str]) -> int:
    """Runs a program of this environment in the project's folder and returns its exit code."""
    program = Path(sys.prefix) / "bin" / words[0]
    return subprocess.run([str(program), *words[1:]], cwd=ROOT, env=dict(environment), check=False).returncode
