"""Docker Compose's own command line for tests that ask it: the machine's, or the lab's version from the package mirror.

`config` needs no engine and no rights, so the program alone is fetched, verified by apt, and unpacked into a cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab import apt

VARIABLE = "RUNBOOK_COMPOSE"
"""Names the program to tests, as words of a command line."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"


def words() -> tuple[str, ...]:
    """The command line of Compose 2, or nothing where there is none: what VARIABLE names, else this machine's."""
    named = os.environ.get(VARIABLE, "")
    for found in ((named,) if named else (), ("docker", "compose"), ("docker-compose",)):
        if found and shutil.which(found[0]) and _is_second(found):
            return found
    return ()


def provide() -> str:
    """The path of a Compose for tests where the machine has none, fetched once; empty where it has, or none can be had."""
    if words():
        return ""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compose-runbook-tests"
    kept = cache / f"compose-{apt.SUITE}"
    if not kept.exists():
        if not KEYRING.exists() or not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
            print("tests that ask Docker Compose are skipped: install it to run all", file=sys.stderr)
            return ""
        print(f"fetching Docker Compose of Debian {apt.SUITE} for tests", file=sys.stderr)
        try:
            _fetch(cache, kept)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"tests that ask Docker Compose are skipped: {error}", file=sys.stderr)
            return ""
    return str(kept)


def _fetch(cache: Path, kept: Path) -> None:
    """Downloads and unpacks the package with lists of its own; the machine's packages stay as they are."""
    folder = cache / f"fetch-{os.getpid()}"
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "archives" / "partial").mkdir(parents=True)
    try:
        (folder / "debian.sources").write_text(
            f"Types: deb\nURIs: {apt.mirror()}\nSuites: {apt.SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
        )
        settings = {
            "Dir::Etc::sourcelist": folder / "debian.sources", "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": folder / "lists", "Dir::Cache::archives": folder / "archives",
            "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "", "APT::Sandbox::User": "",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        for what in (["update"], ["download", "docker-compose"]):
            subprocess.run(["apt-get", "-qq", *options, *what], cwd=folder, check=True, stdout=sys.stderr, timeout=300)
        (package,) = folder.glob("docker-compose_*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "root")], check=True, timeout=60)
        (folder / "root" / PLUGIN).rename(kept)
    finally:
        shutil.rmtree(folder)


def _is_second(found: tuple[str, ...]) -> bool:
    done = subprocess.run([*found, "version", "--short"], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0 and done.stdout.strip().removeprefix("v").startswith("2.")
