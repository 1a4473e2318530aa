"""A Prometheus watches a soak of practice hosts: its alert fires when a service is stopped there, and ends with that."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import Practice, Ran
from tests.runbooks.prometheus import ROOT, Prometheus, scraping, until

pytestmark = pytest.mark.lab
SERVICE, HOST = "grafana", "staging-2"
DOWN = ("RunbookServiceDown", HOST, SERVICE)
UP = f'runbook_probe_ok{{environment="staging", host="{HOST}", service="{SERVICE}"}} == 1'
COMPOSE = 'cd "$1" && docker compose --progress quiet "$2" "$3"'


def firing(prometheus: Prometheus) -> set[tuple[str, str | None, str | None]]:
    """The services that are down by its alerts."""
    return {alert for alert in prometheus.alerts() if alert[0] == DOWN[0]}


def test_an_alert_fires_when_a_service_is_stopped_on_a_host_and_ends_when_it_runs_again(
    inv: Callable[..., Ran],
    started: Callable[..., subprocess.Popen[str]],
    folder: Path,
    staging: dict[str, Practice],
    own_state: dict[str, str],
    tmp_path: Path,
) -> None:
    for each in staging.values():
        each.settle()
    host = staging[HOST]
    begun = inv(
        "soak.start", "--env", "staging", "--inventory", str(folder), "--hours", "0.5", "--every", "2s", "--json"
    )
    assert begun.code == 0, begun.err
    ticking = started("soak.tick", "--env", "staging", "--follow", "--json")
    rules = re.sub(r"(?m)^( +for:) \d+s$", r"\1 1s", (ROOT / "monitoring" / "rules.yml").read_text())
    try:
        with scraping(tmp_path, rules, own_state) as prometheus:
            until(lambda: prometheus.query(UP), f"good samples of {SERVICE} are scraped")
            assert firing(prometheus) == set()
            host.sh(COMPOSE, "stop", SERVICE)
            until(lambda: firing(prometheus), "the alert fires")
            assert firing(prometheus) == {DOWN}, "of the service that was stopped, and of no other"
            host.sh(COMPOSE, "start", SERVICE)
            until(lambda: not firing(prometheus), "the alert ends")
    finally:
        host.sh(COMPOSE, "start", SERVICE)
        stopped = inv("soak.stop", "--env", "staging", "--json")
        ticked, _ = ticking.communicate(timeout=120)
    assert stopped.code == 0, stopped.err
    assert ticking.returncode == 0, ticked
    incidents = [(each["host"], each["service"]) for each in stopped.document["soaks"][0]["incidents"]]
    assert set(incidents) == {(HOST, SERVICE)}
