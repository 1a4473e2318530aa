"""Metrics, rules and dashboards: one table, checked by Prometheus' own tools, and a real Prometheus whose alert fires."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from checks.evidence import Store
from inventory.errors import InputError
from inventory.secrets import Mask
from lab import sample
from runbooks import monitors
from runbooks.commands import monitoring
from runbooks.exposition import registry
from runbooks.output import Output
from tests.runbooks.prometheus import expressions

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def promtool(*words, data=""):
    if not shutil.which("promtool"):
        pytest.skip("no promtool on this machine: apt-get install prometheus")
    return subprocess.run(["promtool", *words], input=data, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with a soak of made-up measurements; its URL."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/evidence.sqlite"
    store = Store(url)
    sample.fill(store, sample.Story(hours=2, every_s=60, outage=(0.0, 0.0)))
    store.close()
    return url


@pytest.fixture(scope="module")
def exposed(filled):
    from prometheus_client import generate_latest

    return generate_latest(registry(lambda: Store(filled), Mask())).decode()


def test_the_files_in_the_repository_are_what_the_table_makes():
    for name, text in monitoring.files().items():
        assert (ROOT / "monitoring" / name).read_text() == text, f"run ./inv soak.dashboards: {name} is out of date"


def test_each_of_the_five_has_a_recording_rule_an_alert_and_a_dashboard():
    assert [monitor.title for monitor in monitors.MONITORS] == [
        "Service health overview", "Resource utilization", "Connection pool metrics", "Circuit breaker status", "Startup time trends",
    ]  # fmt: skip
    for monitor in monitors.MONITORS:
        assert monitor.records and monitor.alerts and len(monitor.panels) >= 2
        places = [panel["gridPos"] for panel in monitors.dashboard(monitor)["panels"]]
        cells = [(x, place["y"]) for place in places for x in range(place["x"], place["x"] + place["w"])]
        assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24, "panels lie over each other"


def test_rules_and_dashboards_speak_of_metrics_that_there_are(exposed):
    known = {*monitors.METRICS, *(name for monitor in monitors.MONITORS for name in monitor.records)}
    used = [(place, expr) for place, expr in expressions()]
    used += [
        (monitor.uid, expr)
        for monitor in monitors.MONITORS
        for expr in (*monitor.records.values(), *(a.expr for a in monitor.alerts))
    ]
    for place, expr in used:
        names = set(re.findall(r"\brunbook[a-z0-9_:]+", expr))
        assert names and names <= known, place
    told = set(re.findall(r"(?m)^(runbook_\w+)[{ ]", exposed))
    assert told == set(monitors.METRICS)


def test_promtool_has_nothing_against_rules_metrics_and_queries(tmp_path, exposed):
    checked = promtool("check", "rules", str(ROOT / "monitoring" / "rules.yml"))
    assert checked.returncode == 0 and "16 rules found" in checked.stdout, checked.stdout + checked.stderr
    found = promtool("check", "metrics", data=exposed)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
    queries = [{"record": f"q:{number}", "expr": expr} for number, (_, expr) in enumerate(expressions())]
    with (tmp_path / "queries.yml").open("w") as file:
        YAML().dump({"groups": [{"name": "queries", "rules": queries}]}, file)
    checked = promtool("check", "rules", str(tmp_path / "queries.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


OK = 'runbook_probe_ok{environment="staging", host="a", service="redis", probe="redis:redis", kind="redis", soak="s"}'
GOOD = 'runbook_probe_samples_total{environment="staging", host="a", service="redis", result="good", soak="s"}'
BAD = GOOD.replace("good", "bad")
# series -> values, minute by minute; alert, whether it fires after so many minutes, and not before so many
FIRES = {
    "a service that stays down": ({OK: "1 1 0x10"}, "RunbookServiceDown", 4, 2),
    "a service that blinks": ({OK: "1 1 0 1 1 1 1"}, "RunbookServiceDown", None, 6),
    "an hour of one failure in 200": ({GOOD: "0+199x80", BAD: "0+1x80"}, "RunbookHealthBelowTarget", 70, 0),
    "an hour of one failure in 2000": ({GOOD: "0+1999x80", BAD: "0+1x80"}, "RunbookHealthBelowTarget", None, 70),
    "a soak that nothing ticks": (
        {'runbook_soak_running{environment="staging", soak="s"}': "1x40", 'runbook_soak_last_tick_timestamp_seconds{environment="staging", soak="s"}': "0x40"},
        "RunbookSoakNotTicked", 22, 14),
    "a soak that fails": ({'runbook_soak_outcome{environment="staging", outcome="fail", soak="s"}': "0 0 1 1"}, "RunbookSoakFailing", 3, 1),
    "a pool that is used up": ({'runbook_pool_utilisation_ratio{environment="staging", host="a", service="p", soak="s"}': "0.7 1x9"}, "RunbookPoolExhausted", 5, 2),
    "a breaker that opens": ({'runbook_breaker_trips_total{environment="staging", host="a", service="h", soak="s"}': "0 0 0 1 1"}, "RunbookBreakerTripped", 4, 2),
    "a start that takes five minutes": ({'runbook_run_startup_seconds{environment="staging", host="a", service="w", soak="s"}': "20 301 301"}, "RunbookStartupSlow", 2, 0),
    "memory at its limit": ({'runbook_resource_utilisation_ratio{environment="staging", host="a", service="w", resource="memory", soak="s"}': "0.7 0.97x20"}, "RunbookResourceNearLimit", 15, 8),
}  # fmt: skip


def test_alerts_fire_when_they_should_and_no_sooner(tmp_path):
    tests = []
    for series, alert, fires, quiet in FIRES.values():
        when = [{"eval_time": f"{quiet}m", "alertname": alert, "exp_alerts": []}]
        tests.append({
            "interval": "1m", "input_series": [{"series": name, "values": values} for name, values in series.items()], "alert_rule_test": when,
        })  # fmt: skip
        if fires is not None:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', next(iter(series))))
            rule = next(a for monitor in monitors.MONITORS for a in monitor.alerts if a.name == alert)
            kept = {"RunbookServiceDown": ("environment", "host", "service")}.get(alert)
            if kept is None and rule.expr.startswith("runbook:"):
                kept = ("environment",)
            own = {name: value for name, value in labels.items() if kept is None or name in kept}
            summary = re.sub(r"{{ \$labels\.(\w+) }}", lambda match, own=own: own[match[1]], rule.summary)
            when.append({
                "eval_time": f"{fires}m", "alertname": alert,
                "exp_alerts": [{"exp_labels": {**own, "severity": rule.severity}, "exp_annotations": {"summary": summary}}],
            })  # fmt: skip
    shutil.copy(ROOT / "monitoring" / "rules.yml", tmp_path / "rules.yml")
    with (tmp_path / "tests.yml").open("w") as file:
        YAML().dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}, file)
    done = promtool("test", "rules", str(tmp_path / "tests.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_textfile_is_written_whole_and_bad_words_are_one_line(tmp_path, filled, monkeypatch):
    monkeypatch.setenv("RUNBOOK_STORE", filled)
    out = Output()
    assert monitoring.metrics(out, textfile=str(tmp_path / "runbook.prom")) == 0
    assert "runbook_soak_success_ratio{" in (tmp_path / "runbook.prom").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["runbook.prom"]
    for words, said in (
        ({"textfile": str(tmp_path / "a.txt")}, "--textfile: node_exporter reads only files that end in .prom"),
        ({"textfile": str(tmp_path / "absent" / "a.prom")}, "cannot be written"), ({"serve": "here"}, "--serve: 'here' is no address"),
        ({"serve": "127.0.0.1:70000"}, "is no address"), ({"serve": "192.0.2.1:9464"}, "nothing can be served there"),
        ({"serve": "1", "textfile": "a.prom"}, "are two ways at once"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=re.escape(said)):
            monitoring.metrics(out, **words)


def test_a_dashboard_is_json_that_names_its_variables_and_no_server():
    for name, text in monitoring.files().items():
        if name.endswith(".json"):
            found = json.loads(text)
            assert [each["name"] for each in found["templating"]["list"]] == ["datasource", "environment"]
            assert {panel["datasource"]["uid"] for panel in found["panels"]} == {"${datasource}"}
            assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
