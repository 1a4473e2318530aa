"""The soak's tasks as they are typed: programs of their own, ten at once, killed in the midst."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from checks.evidence import RunRecord, Soaks, Store, tallies
from checks.model import Probe
from checks.soak import Soak
from tests.cli.typed import typed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LOCAL = "all:\n  hosts:\n    web-1: {ansible_connection: local, project_dir: /srv/shop}\n"
LIMIT_S = 240


class Desk:
    """An operator's state folder and inventory, and tasks that are typed there."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "shop.yml").write_text(LOCAL)
        self.environment = {**os.environ, "RUNBOOK_STATE": str(folder / "own"), "COLUMNS": "200"}
        self.environment.pop("RUNBOOK_STORE", None)
        self.environment.pop("RUNBOOK_TRACEBACK", None)

    @property
    def words(self):
        return [sys.executable, "-m", "invoke", "--search-root", str(ROOT)]

    def type(self, *words, **more):
        return subprocess.run(
            [*self.words, *words], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False,
            timeout=LIMIT_S, stdin=subprocess.DEVNULL, **more,
        )  # fmt: skip

    def store(self):
        os.environ["RUNBOOK_STATE"] = self.environment["RUNBOOK_STATE"]
        return Store()

    def begin(self, program, *, hours=1.0, every_s=1.0, started=None, identity="s-1"):
        soak = Soak(
            identity,
            "shop",
            str(self.folder),
            (),
            "1",
            "",
            "",
            "eve",
            started or datetime.now(UTC).isoformat(),
            hours * 3600,
            every_s,
        )
        store = self.store()
        probe = Probe("command", "asked", "web", {"command": ["sh", "-c", program], "on_host": True}, 60.0)
        Soaks(store).start(soak, [("web-1", "shop", probe)])
        store.close()
        return soak

    def good(self):
        store = self.store()
        (tally,) = tallies(store, Soaks(store).series("s-1")).values()
        ticks = Soaks(store).ticks("s-1")
        store.close()
        return tally.ok, sum(tick.made is not None for tick in ticks)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "own"))
    monkeypatch.delenv("RUNBOOK_STORE", raising=False)
    return Desk(tmp_path)


def test_of_ten_ticks_at_once_one_asks_and_all_end_well(desk):
    count = desk.folder / "count"
    desk.begin(f"echo x >>{count}", every_s=3600.0, hours=24)
    with ThreadPoolExecutor(10) as pool:
        ended = list(pool.map(lambda _number: desk.type("soak.tick", "--json"), range(10)))
    assert {each.returncode for each in ended} == {0}, [each.stderr for each in ended]
    made = [json.loads(each.stdout)["ticks"][0]["tick"] for each in ended]
    assert sorted(made, key=str) == [0, *[None] * 9]
    assert count.read_text() == "x\n"
    assert desk.good() == (1, 1)


def test_a_tick_that_is_killed_counts_for_nothing_and_the_next_one_counts(desk):
    mark, go = desk.folder / "mark", desk.folder / "go"
    desk.begin(f"touch {mark}; n=0; until [ -e {go} ] || [ $n = 600 ]; do n=$((n + 1)); sleep 0.1; done")
    program = subprocess.Popen(
        [*desk.words, "soak.tick"], cwd=ROOT, env=desk.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + LIMIT_S
    while not mark.exists():
        assert time.monotonic() < until
        assert program.poll() is None
        time.sleep(0.02)
    program.send_signal(signal.SIGKILL)
    program.wait()
    go.touch()
    assert desk.good() == (0, 0)
    # The second that the killed one had claimed is lost: a quick machine is still in it.
    while desk.good() == (0, 0):
        assert time.monotonic() < until
        ended = desk.type("soak.tick")
        assert ended.returncode == 0, ended.stderr
    assert desk.good() == (1, 1)


def test_following_ticks_until_the_soak_ends_and_reports_say_how(desk, capfd):
    desk.begin("exit 0", hours=3 / 3600, every_s=0.5)
    followed = typed(capfd, "soak.tick", "--follow")
    assert followed.code == 0, followed.err
    assert "inconclusive: " in followed.out
    report = typed(capfd, "soak.report", "--json")
    assert report.code == 7, report.err
    found = json.loads(report.out)
    assert (found["state"], found["outcome"], found["ticks"]["expected"]) == ("ended", "inconclusive", 6)
    assert set(found) == {
        "soak", "environment", "state", "outcome", "reason", "who", "started", "ends", "ended", "every_s", "seconds", "still_s",
        "run", "phase", "promotion_key", "overrides", "ticks", "coverage", "target", "success", "metrics", "probes", "incidents",
    }  # fmt: skip
    shown = typed(capfd, "soak.report", "--soak", "s-1")
    assert (shown.code, "shop: inconclusive" in shown.out) == (7, True)
    assert "more would have been needed" in shown.out


def test_a_soak_is_stopped_once_and_its_state_is_seen(desk, capfd):
    desk.begin("exit 0")
    assert typed(capfd, "soak.tick").code == 0
    assert "shop: running" in typed(capfd, "soak.status").out
    stopped = typed(capfd, "soak.stop", "--env", "shop", "--json")
    assert json.loads(stopped.out)["soaks"][0]["state"] == "stopped"
    again = typed(capfd, "soak.stop", "--env", "shop")
    assert (again.code, again.err) == (1, "error: --env: no soak of shop runs (see ./inv soak.status)\n")
    assert typed(capfd, "soak.tick").out == "no soak runs\n"


def test_an_override_shows_in_every_report(desk, capfd):
    desk.begin("exit 0")
    store = desk.store()
    store.start(
        RunRecord(
            "r-1",
            "migrate",
            "shop",
            "1",
            "eve",
            "",
            "",
            "2026-01-01",
            None,
            "",
            None,
            "",
            {},
            "",
            "",
            "a customer waits",
        )
    )
    store.close()
    assert "run r-1 passed over what the inventory asks for: a customer waits" in typed(capfd, "soak.report").out
    found = json.loads(typed(capfd, "soak.status", "--json").out)
    assert found["soaks"][0]["overrides"] == [{"run": "r-1", "reason": "a customer waits"}]


# words, exit code, what the one line on standard error says
BAD = {
    "hours that are none": ("soak.start --env shop --inventory TMP --hours long", 1, "--hours: 'long' is no number of hours (write 48)"),
    "no hours": ("soak.start --env shop --inventory TMP --hours 0", 1, "--hours: '0' is no number of hours"),
    "an interval that is none": ("soak.start --env shop --inventory TMP --every often", 1, "--every: 'often' is not a duration"),
    "an interval of nothing": ("soak.start --env shop --inventory TMP --every 1ms", 1, "--every: is shorter than a tick can take"),
    "an interval that is too long": ("soak.start --env shop --inventory TMP --hours 1 --every 2h", 1, "--every: is longer than the whole soak"),
    "an unknown environment": ("soak.start --env nope --inventory TMP", 1, "no environment nope"),
    "a typing error in the inventory": ("soak.start --env typo --inventory TMP", 1, "soak: hour is no setting of it (did you mean hours?)"),
    "no soak": ("soak.report", 1, "--env: no soak was started (begin one with ./inv soak.start)"),
    "an unknown soak": ("soak.report --soak s-9", 1, "--soak: there is no soak s-9"),
    "nothing to stop": ("soak.stop --env shop", 1, "--env: no soak of shop runs"),
    "no way to schedule": ("soak.schedule", 1, "--install, --print, --remove: name none or several of them"),
    "two ways to schedule": ("soak.schedule --print --remove", 1, "--install, --print, --remove: name none or several of them"),
    "an interval that is no whole second": ("soak.schedule --print --every 500ms", 1, "--every: is no whole number of seconds"),
    "a schedule of nothing": ("soak.schedule --install", 1, "--env: no soak runs yet"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_done_is_one_line_with_its_exit_code(desk, capfd, case):
    words, code, line = BAD[case]
    (desk.folder / "typo.yml").write_text(LOCAL + "  vars:\n    soak: {hour: 3}\n")
    found = typed(capfd, *words.replace("TMP", str(desk.folder)).split())
    assert found.code == code, found.err
    assert line in found.err and len(found.err.splitlines()) == 1
