"""A real Prometheus on loopback that scrapes what the real task serves, for the tests that watch its alerts."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from runbooks import monitors
from tests.services.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 180
SETTINGS = """global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: [rules.yml]
scrape_configs:
  - {{job_name: compose-runbook, scrape_interval: 2s, scrape_timeout: 2s, static_configs: [{{targets: ['127.0.0.1:{served}']}}]}}
"""


@dataclass
class Running:
    """Programs that are ended, by their ids, at the end."""

    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __call__(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        self.started.append(subprocess.Popen(words, **quiet, **more))
        return self.started[-1]

    def end(self) -> None:
        for child in self.started:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        for child in self.started:
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expr: str) -> Any:
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def alerts(self) -> set[tuple[str, str | None, str | None]]:
        """What fires: (alert, host, service) each."""
        answer = requests.get(f"{self.url}/api/v1/alerts", timeout=30).json()
        return {
            (each["labels"]["alertname"], each["labels"].get("host"), each["labels"].get("service"))
            for each in answer["data"]["alerts"]
            if each["state"] == "firing"
        }


@contextmanager
def scraping(folder: Path, rules: str, environment: Mapping[str, str]) -> Iterator[Prometheus]:
    """`soak.metrics --serve` of a store, and a Prometheus with these rules that scrapes it; both end with the block."""
    if not shutil.which("prometheus"):
        pytest.skip("no Prometheus on this machine: apt-get install prometheus")
    served, own = free_port(), free_port()
    (folder / "rules.yml").write_text(rules)
    (folder / "prometheus.yml").write_text(SETTINGS.format(served=served))
    invoke = (sys.executable, "-m", "invoke", "--search-root", str(ROOT))
    running = Running()
    try:
        running(*invoke, "soak.metrics", "--serve", f"127.0.0.1:{served}", cwd=ROOT, env=environment)
        until(lambda: answers(f"http://127.0.0.1:{served}/metrics"), "metrics are served")
        running(
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{own}",
        )  # fmt: skip
        prometheus = Prometheus(f"http://127.0.0.1:{own}")
        until(lambda: answers(f"{prometheus.url}/-/ready"), "Prometheus is ready")
        yield prometheus
    finally:
        running.end()


def until(true: Any, what: str, limit_s: float = LIMIT_S) -> Any:
    """Asks again until something is true; the servers that are asked say when in no other way."""
    limit = time.monotonic() + limit_s
    while not (found := true()):
        assert time.monotonic() < limit, what
        time.sleep(0.2)
    return found


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.exceptions.ConnectionError:
        return False


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of every panel, its variable filled in as Grafana does for "All"."""
    for monitor in monitors.MONITORS:
        for panel in monitors.dashboard(monitor)["panels"]:
            for target in panel["targets"]:
                yield f"{monitor.uid}: {panel['title']}", target["expr"].replace("$environment", ".*")
