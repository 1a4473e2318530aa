"""Where services live, as a project's files say it: hosts in URLs, names in `.env`, and what Compose makes of both."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inventory.errors import HostFailed
from inventory.link import Link
from lab.state import PROJECT_DIR

# $1 project folder. The rendered configuration holds passwords: only its hash leaves the host.
PROGRAM = """
cd "$1" || exit
docker compose config | sha256sum
docker compose ps -aq | sort | sha256sum
stat -c %a .env
grep -c '^[A-Z0-9_]*_SERVICE=' .env
docker compose config --services | tr '\\n' ' '; echo
cat docker-compose.yml
"""


@dataclass(frozen=True)
class Named:
    """`hosts`: services by their names in URLs of the Compose file. `variables`: names of services in `.env`. `rendered` and
    `containers` are hashes: of what Compose makes of the files, and of which containers there are."""

    hosts: int
    variables: int
    mode: str
    rendered: str
    containers: str


def measure(link: Link) -> Named:
    """Raises HostFailed."""
    return read(link.run(PROGRAM, PROJECT_DIR, timeout_s=60.0).text, link.host.name)


def read(text: str, host: str = "") -> Named:
    """What the program printed. Raises HostFailed."""
    try:
        rendered, containers, mode, variables, services, *lines = text.splitlines()
        # A service's own name in its own command is what it tells others, not a place that it knows.
        variables_only = [line for line in lines if not line.lstrip().startswith("command:")]
        return Named(sum(in_urls(line, services.split()) for line in variables_only), int(variables), mode, rendered.split()[0], containers.split()[0])  # fmt: skip
    except (ValueError, IndexError):
        raise HostFailed("its project does not say where services live", host=host) from None


def in_urls(line: str, services: list[str]) -> int:
    """How many URLs of a line have one of the services as their host."""
    names = "|".join(map(re.escape, services))
    return len(re.findall(rf"(?:://|@)(?:{names})(?=[:/\s\"']|$)", line)) if names else 0
