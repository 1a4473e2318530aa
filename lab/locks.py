"""Whether the locked requirements are what they should be, without any network: part of `./inv lint`.

Every line of requirements/*.txt pins one version and names the SHA-256 of what may be installed, nothing names another place to install
from, each lock fits the .in file beside it, and what is installed is what the lock says. `pip check` looks at the rest.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: --hash=\S+)*)\Z"
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def problems(folder: Path = FOLDER, installed: str = "dev") -> list[str]:
    """What is wrong, a line each: file, line, and the mend. `installed` is the lock that this environment was made from."""
    found = []
    for lock in sorted(folder.glob("*.txt")):
        pins: dict[str, list[tuple[str, str | None]]] = {}
        for number, text in _entries(lock):
            match = _PIN.match(text)
            if match is None:
                found.append(
                    f"{lock.name}:{number}: {text.split(' --hash')[0]} is not one version by name (./inv lock)"
                )
                continue
            if not match["hashes"].split() or not all(_HASH.fullmatch(each) for each in match["hashes"].split()):
                found.append(
                    f"{lock.name}:{number}: {match['name']} has no SHA-256, or something else for one (./inv lock)"
                )
            pins.setdefault(canonicalize_name(match["name"]), []).append((match["version"], match["marker"]))
        source = lock.with_suffix(".in")
        if not source.exists():
            found.append(f"{lock.name}: there is no {source.name} that it was made from")
            continue
        found += [f"{lock.name}: does not fit {line} (./inv lock)" for line in _unfit(source, pins)]
        if lock.stem == installed:
            found += [f"{lock.name}: {line} (remove .venv and repeat)" for line in _otherwise(pins)]
    found += [f"{source.name}: there is no lock of it (./inv lock)" for source in sorted(folder.glob("*.in"))
              if not source.with_suffix(".txt").exists()]  # fmt: skip
    return found


def check() -> int:
    """Prints what is wrong. Returns 1 where something is, else what `pip check` ends with."""
    for line in (found := problems()):
        print(f"requirements/{line}", file=sys.stderr)
    return 1 if found else subprocess.run([sys.executable, "-m", "pip", "check", "-qq"], check=False).returncode


def _entries(lock: Path) -> Iterator[tuple[int, str]]:
    """Each entry of a lock as one line, with the number of its first."""
    begin = 0
    parts: list[str] = []
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if not parts:
            begin = number
        parts.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            text = " ".join(filter(None, parts))
            parts = []
            if text and not text.startswith("#"):
                yield begin, text


def _wanted(source: Path) -> Iterator[tuple[str, Requirement]]:
    """What an .in file asks for, with what it includes."""
    for line in source.read_text().splitlines():
        text = line.split("#")[0].strip()
        if text.startswith("-r "):
            yield from _wanted(source.parent / text[3:])
        elif text and not text.startswith("-c "):
            yield f"{source.name}: {text}", Requirement(text)


def _unfit(source: Path, pins: dict[str, list[tuple[str, str | None]]]) -> Iterator[str]:
    for line, wanted in _wanted(source):
        versions = [version for version, _ in pins.get(canonicalize_name(wanted.name), [])]
        if not versions or not all(wanted.specifier.contains(version, prereleases=True) for version in versions):
            yield line


def _otherwise(pins: dict[str, list[tuple[str, str | None]]]) -> Iterator[str]:
    """What is installed in another version than the lock's."""
    for name, versions in pins.items():
        for version, marker in versions:
            if marker is not None and not Marker(marker).evaluate():
                continue
            try:
                there = metadata.version(name)
            except metadata.PackageNotFoundError:
                there = "not installed"
            if there != version:
                yield f"{name} should be {version} and is {there}"
