"""The step's own configuration in a real HAProxy on loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from checks.model import Probe
from checks.probes import breaker as kind
from checks.probes.kind import Answer, Judgement
from runbooks.steps import haproxy
from runbooks.steps.haproxy import Breaker, Numbers
from tests.services import servers

QUICK = Numbers(open_s=2.0, pause_s=0.2)


@dataclass(frozen=True)
class Front:
    """A running breaker: where each dependency is reached through it, and its statistics."""

    ports: dict[str, int]
    stats: int

    def asked(self, **settings: Any) -> Judgement:
        address = f"127.0.0.1:{self.stats}/stats"
        said = subprocess.run(["sh", "-c", kind.ASK, "sh", address], capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
        return kind.judge(Probe("breaker", "b", "b", settings), Answer(said.returncode, said.stdout + said.stderr, 0.1))


@contextmanager
def front(folder: Path, aggregator: int, at: dict[str, int], *breakers: Breaker, numbers: Numbers = QUICK) -> Iterator[Front]:  # fmt: skip
    """The step's file, with this machine's ports in place of a stack's names. `at`: where each dependency really is."""
    made = [replace(each, listen=servers.free_port()) for each in breakers]
    text = haproxy.configuration(made, numbers, "aggregator", 8080, 1.0)
    stats, asks = servers.free_port(), servers.free_port()
    text = text.replace(" resolvers engine init-addr last,libc,none", "").replace("bind :", "bind 127.0.0.1:")
    text = text.replace(f":{haproxy.STATS}\n", f":{stats}\n").replace(f":{haproxy.ASKS}\n", f":{asks}\n")
    text = text.replace(f"port {haproxy.ASKS}", f"port {asks}").replace("aggregator:8080", f"127.0.0.1:{aggregator}")
    for each in made:
        text = text.replace(
            f"{each.service} {each.service}:{each.port}", f"{each.service} 127.0.0.1:{at[each.service]}"
        )
    with servers.haproxy(text, folder, stats):
        yield Front({each.service: each.listen for each in made}, stats)
