"""A real Prometheus scrapes what is served, shows each panel's query, and its alert fires when a service stops."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta

import pytest

from checks.evidence import Soaks, Store
from checks.model import Probe
from checks.soak import Soak
from inventory.secrets import Mask
from lab import sample
from runbooks import soaking
from runbooks.commands import monitoring
from tests.runbooks.prometheus import Running, answers, expressions, free_port, scraping, until

pytestmark = pytest.mark.slow
DOWN = ("RunbookServiceDown", "web-1", "web")


@pytest.fixture
def running():
    made = Running()
    yield made
    made.end()


def test_a_real_prometheus_scrapes_what_is_served_and_its_alert_fires_when_a_service_stops(tmp_path, running):
    web = free_port()
    service = running(sys.executable, "-m", "http.server", str(web), "--bind", "127.0.0.1", cwd=tmp_path)
    until(lambda: answers(f"http://127.0.0.1:{web}/"), "the service answers")
    url = f"sqlite:///{tmp_path}/evidence.sqlite"
    store = Store(url)
    sample.fill(store, sample.Story(hours=1, every_s=60, outage=(0.0, 0.0)))
    (tmp_path / "shop.yml").write_text(
        "all:\n  hosts:\n    web-1: {ansible_connection: local, project_dir: /srv/shop}\n"
    )
    begin = datetime.now(UTC) - timedelta(minutes=10)
    soak = Soak("s-1", "shop", str(tmp_path), (), "1", "", "", "eve", begin.isoformat(), 3600.0, 10.0)
    asks = f"import socket; socket.create_connection(('127.0.0.1', {web}), 10)"
    probe = Probe("command", "answers:web", "web", {"command": [sys.executable, "-c", asks], "on_host": True}, 20.0)
    Soaks(store).start(soak, [("web-1", "shop", probe)])
    ticker = soaking.Ticker(store, Mask(), "eve")
    assert ticker.tick(soak, begin + timedelta(seconds=100)).samples[0].ok is True
    environment = {**os.environ, "RUNBOOK_STORE": url, "RUNBOOK_STATE": str(tmp_path / "own")}
    with scraping(tmp_path, monitoring.rules_text(patience=0), environment) as prometheus:
        good = 'runbook_probe_ok{environment="shop", service="web"} == 1'
        until(lambda: prometheus.query(good), "the good sample is scraped")
        assert DOWN not in prometheus.alerts()

        service.terminate()
        service.wait(60)
        assert ticker.tick(soak, begin + timedelta(seconds=200)).samples[0].ok is False
        until(lambda: DOWN in prometheus.alerts(), "the alert fires")
        # By now there were two scrapes, as every panel of every dashboard needs.
        for place, expr in expressions():
            until(lambda expr=expr: prometheus.query(expr), f"{place} shows something")

        running(sys.executable, "-m", "http.server", str(web), "--bind", "127.0.0.1", cwd=tmp_path)
        until(lambda: answers(f"http://127.0.0.1:{web}/"), "the service answers again")
        assert ticker.tick(soak, begin + timedelta(seconds=300)).samples[0].ok is True
        until(lambda: DOWN not in prometheus.alerts(), "the alert is over")
    ticker.close()
    store.close()
