"""Whoever ends a soak tells of its verdict, once; who only looks does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from checks.evidence import Soaks
from checks.model import Probe
from checks.soak import Soak
from inventory.secrets import Mask
from runbooks import exposition, soak_news, soaking
from runbooks.commands import soaking as commands
from runbooks.output import Output
from tests.runbooks.receiver import Web

LOCAL = "all:\n  hosts:\n    web-1:\n      ansible_connection: local\n      project_dir: /srv/shop\n      notify: [{url: '%s'}]\n"
FALSE = Probe("command", "answers:web", "web", {"command": ["sh", "-c", "echo refused; exit 1"], "on_host": True}, 20.0)


@pytest.fixture
def web():
    made = Web()
    yield made
    made.stop()


def begun(store, folder, web, ago):
    """A soak of a minute that began so many seconds ago, in which one tick was made, and failed."""
    (folder / "shop.yml").write_text(LOCAL % web.url)
    begin = datetime.now(UTC) - timedelta(seconds=ago)
    soak = Soak("s-1", "shop", str(folder), (), "1", "run-1", "", "eve", begin.isoformat(), 60.0, 1.0)
    Soaks(store).start(soak, [("web-1", "shop", FALSE)])
    ticker = soaking.Ticker(store, Mask(), "eve")
    for second in range(5):
        assert ticker.tick(soak, begin + timedelta(seconds=second)).number == second
    ticker.close()
    return soak


def test_the_verdict_is_told_once_by_whoever_ends_the_soak(store, tmp_path, web):
    begun(store, tmp_path, web, ago=120)
    list(exposition.rows(store))
    assert web.got == [] and Soaks(store).get("s-1").state == "running"  # a scrape ends nothing
    assert commands.status(Output()) == 0
    assert commands.status(Output()) == 0
    assert commands.report(Output()) == 3
    assert commands.tick(Output()) == 0
    ((_, _, document),) = web.got
    assert (document["kind"], document["outcome"], document["title"]) == ("soak", "fail", "the soak on shop failed")
    assert "answers:web on web-1: 5 of 5 failed" in document["text"]
    assert "the longest: answers:web on web-1, 5 sample(s): refused" in document["details"]
    assert document["run"] == "run-1" and document["environment"] == "shop"


def test_a_soak_that_goes_on_is_no_news(store, tmp_path, web):
    begun(store, tmp_path, web, ago=30)
    commands.status(Output())
    commands.tick(Output())
    assert web.got == [] and Soaks(store).get("s-1").state == "running"


def test_an_inventory_that_is_gone_stops_no_verdict(store, tmp_path, web, capfd):
    begun(store, tmp_path, web, ago=120)
    (tmp_path / "shop.yml").unlink()
    assert commands.status(Output()) == 0
    assert Soaks(store).get("s-1").outcome == "fail" and web.got == []
    assert "nobody is told of s-1" in capfd.readouterr().err


def test_a_soak_that_is_stopped_before_its_end_is_told_of_too(store, tmp_path, web):
    begun(store, tmp_path, web, ago=30)
    assert commands.stop(Output(), "shop") == 0
    ((_, _, document),) = web.got
    assert (document["kind"], document["outcome"]) == ("soak", Soaks(store).get("s-1").outcome)
    assert commands.status(Output()) == 0
    assert len(web.got) == 1, "and not again by who looks at it later"


def test_a_soak_that_another_run_ends_is_said_there_and_told_of(store, tmp_path, web):
    begun(store, tmp_path, web, ago=30)
    said = []
    soak_news.end_all(store, "shop", "rollback r-9 changed shop", Mask(), said.append)
    ended = Soaks(store).get("s-1")
    assert ended.state == "stopped" and said == [f"s-1 was ended: {ended.reason}"]
    ((_, _, document),) = web.got
    assert (document["kind"], document["outcome"]) == ("soak", ended.outcome)
    soak_news.end_all(store, "shop", "run r-10 changed shop", Mask(), said.append)
    assert len(said) == len(web.got) == 1
