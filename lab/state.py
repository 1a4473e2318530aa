"""Where the lab keeps things and what it calls them: names carry the checkout, so two checkouts never meet. Pure."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKER = "/etc/compose-runbook-lab"
PROJECT_DIR = "/srv/reconciliation"
HOSTS = ("staging-1", "staging-2", "production-1")


@dataclass(frozen=True)
class LabState:
    """The lab of one checkout. `folder` is ignored by git; `tag` is short, and different in each checkout."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / ".lab"

    @property
    def tag(self) -> str:
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    def container(self, host: str) -> str:
        return f"runbook-{self.tag}-{host}"

    def volume(self, host: str) -> str:
        return f"runbook-{self.tag}-{host}-docker"

    def labels(self) -> dict[str, str]:
        return {"compose-runbook.lab": self.tag, "compose-runbook.checkout": str(self.root)}


def cache() -> Path:
    """The folder that all checkouts of one user share: the engine's data and the build stamps."""
    named = os.environ.get("RUNBOOK_LAB_CACHE")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/cache/compose-runbook")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "compose-runbook"


def ssh_config(state: LabState, ports: dict[str, int]) -> str:
    """The text of the lab's ssh_config: each host by its alias, its key pinned, nothing of the user's own used."""
    blocks = [
        f"Host {host}\n"
        f"    HostName 127.0.0.1\n    Port {port}\n    User deploy\n    HostKeyAlias {host}\n"
        f'    IdentityFile "{state.key}"\n    IdentitiesOnly yes\n'
        f'    UserKnownHostsFile "{state.known_hosts}"\n    GlobalKnownHostsFile /dev/null\n'
        f"    StrictHostKeyChecking yes\n    BatchMode yes\n"
        for host, port in ports.items()
    ]
    return "# Written by lab.up for this checkout; removed by lab.down.\n" + "\n".join(blocks)
