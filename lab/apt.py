"""The package mirror that this machine already uses, read from its own apt configuration for use inside the images."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from lab.engine import NoEngine

SUITE = "trixie"
"""Debian 13: it has every server of the example platform and Docker 26.1 with Compose 2.26.1 (measured in docs)."""


def mirror(folder: Path = Path("/etc/apt")) -> str:
    """The first Debian archive URI that the machine's apt uses; Debian's own where apt names none (as on Ubuntu)."""
    files = sorted((folder / "sources.list.d").glob("*.sources")) + [folder / "sources.list"]
    files += sorted((folder / "sources.list.d").glob("*.list"))
    for file in files:
        if not file.exists():
            continue
        for uri in uris(file.read_text(errors="replace"), deb822=file.suffix == ".sources"):
            if re.search(r"/debian/?$", uri):
                return uri.rstrip("/")
    return "http://deb." + "debian.org/debian"


def uris(text: str, *, deb822: bool) -> list[str]:
    """The archive URIs of binary packages in an apt source file, in its order."""
    found: list[str] = []
    if deb822:
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"(?m)^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t]+.*)*)$", stanza))
            if fields.get("Enabled", "yes").strip() != "no" and "deb" in fields.get("Types", "").split():
                found += fields.get("URIs", "").split()
        return found
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)", line)
        if match:
            found.append(match[1])
    return found


def architecture() -> str:
    """Debian's name of this machine's architecture. Raises NoEngine for one that the lab was never tried on."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    try:
        return names[platform.machine()]
    except KeyError:
        raise NoEngine(f"the lab cannot be built on {platform.machine()}", mend="use x86_64 or aarch64") from None


def settings(folder: Path = Path("/etc/apt/apt.conf.d")) -> bytes:
    """The machine's own apt settings about how to reach and trust the mirror, for builds only."""
    lines = [
        line
        for file in sorted(folder.glob("*"))
        for line in file.read_text(errors="replace").splitlines()
        if re.match(r"\s*Acquire::(http|https|Check|Retries)", line)
    ]
    return "".join(
        line + "\n" for line in [*lines, 'Acquire::Retries "3";', 'APT::Install-Recommends "false";']
    ).encode()
