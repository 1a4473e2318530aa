"""The work that is measured: one line of each service's edges in a Compose file of about 375 lines, on every host."""

from __future__ import annotations

import shutil
from hashlib import sha256

from benchmarks.fleet.servers import Fleet
from inventory.errors import HostFailed

FILE = "docker-compose.yml"
MODE = 0o644
WEAK, STRONG = "service_started", "service_healthy"
BLOCK = """\
  app{0}:
    image: registry.example/team/app{0}:1.0 # pinned by hand
    restart: unless-stopped
    environment:
      MODE: production
      WORKERS: "4"
    labels:
      - "traefik.http.routers.app{0}.rule=Host(`app{0}.example.com`)"
    depends_on:
      db{0}:
        condition: service_started

  db{0}:
    image: postgres:17
    healthcheck:
      test: [CMD, pg_isready, -h, 127.0.0.1]
    volumes:
      - data{0}:/var/lib/postgresql/data

"""
BLOCKS = 20
BEFORE = "services:\n" + "".join(BLOCK.format(number) for number in range(BLOCKS)) + "volumes:\n" + "".join(f"  data{number}:\n" for number in range(BLOCKS))  # fmt: skip
AFTER = BEFORE.replace(WEAK, STRONG)


def reset(up: Fleet) -> None:
    """Every host as it is before the work, without any tool's leftovers."""
    for name in up.names:
        shutil.rmtree(up.state(name), ignore_errors=True)
        for path in up.project(name).iterdir():
            path.unlink()
        (up.project(name) / FILE).write_text(BEFORE)
        (up.project(name) / FILE).chmod(MODE)


def check(up: Fleet, expected: str, tool: str, what: str) -> None:
    """Raises HostFailed where a file is not byte for byte what it must be, mode included."""
    for name in up.names:
        path = up.project(name) / FILE
        if path.read_bytes() != expected.encode() or path.stat().st_mode & 0o777 != MODE:
            raise HostFailed(f"{tool} left another file after {what}", host=name)


def digest(text: str) -> str:
    """The SHA-256 digest of a file's text."""
    return sha256(text.encode()).hexdigest()
