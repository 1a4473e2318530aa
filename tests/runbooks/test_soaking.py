"""Ticks of a soak over real programs on hosts that are folders here: whole, once, bounded, whatever goes wrong."""

import json
import os
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checks.evidence import Soaks, Store, incidents, tallies
from checks.model import Probe
from checks.soak import Soak
from inventory import connection
from inventory.errors import InputError
from inventory.secrets import Mask
from runbooks import soak_probes, soaking
from runbooks.soaking import Ticker

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LOCAL = "all:\n  hosts:\n    web-1: {ansible_connection: local, project_dir: /srv/shop}\n"


def on_host(name, *words, timeout_s=5.0):
    return Probe("command", name, "web", {"command": list(words), "on_host": True}, timeout_s)


TRUE = on_host("true", "true")


@pytest.fixture
def begun(store, tmp_path):
    """Begins a soak of probes on hosts of an inventory."""

    def begin(inventory=LOCAL, probes=(TRUE,), hosts=("web-1",), **more):
        (tmp_path / "shop.yml").write_text(inventory)
        soak = Soak("s-1", "shop", str(tmp_path), (), "1", "", "", "eve", BEGIN.isoformat(), 3600.0, 30.0)
        Soaks(store).start(replace(soak, **more), [(host, "shop", probe) for host in hosts for probe in probes])
        return replace(soak, **more)

    return begin


def at(seconds):
    return BEGIN + timedelta(seconds=seconds)


def tick(store, soak, seconds):
    ticker = Ticker(store, Mask(), "eve")
    try:
        return ticker.tick(soak, at(seconds))
    finally:
        ticker.close()


def told(store):
    series = Soaks(store).series("s-1")
    found = tallies(store, series)
    return {each.probe.name: (found[each.id].ok, found[each.id].failed, found[each.id].unknown) for each in series}


def test_a_tick_asks_every_probe_and_keeps_what_it_answered(store, begun):
    soak = begun(probes=(on_host("good", "true"), on_host("bad", "sh", "-c", "echo no; exit 1")))
    assert [tick(store, soak, seconds).number for seconds in (1, 2, 31)] == [0, None, 1]
    assert told(store) == {"good": (2, 0, 0), "bad": (0, 2, 0)}
    assert [found.detail for found in incidents(store, Soaks(store).series("s-1"))] == ["no"]


def test_what_measures_is_asked_less_often_than_every_tick(store, begun):
    soak = begun(probes=(on_host("good", "true"), Probe("startup", "startup:web", "web")), every_s=5.0)
    for number in range(7):
        tick(store, soak, number * 5 + 1)
    assert told(store)["good"] == (7, 0, 0)
    assert sum(told(store)["startup:web"]) == 2


def test_a_host_that_is_gone_from_the_inventory_is_unknown_and_not_unwell(store, begun):
    soak = begun(hosts=("web-1", "web-2"))
    found = tick(store, soak, 1)
    assert {(s.host, s.ok) for s in found.samples} == {("web-1", True), ("web-2", None)}
    assert found.errors["web-2"].message == "it is not in the inventory any more"


def test_an_inventory_that_cannot_be_read_takes_no_tick(store, begun, tmp_path):
    soak = begun()
    (tmp_path / "shop.yml").write_text("all: [")
    with pytest.raises(InputError, match=r"shop\.yml:2: is not YAML"):
        tick(store, soak, 1)
    (tmp_path / "shop.yml").write_text(LOCAL)
    assert tick(store, soak, 2).number == 0


def test_a_dead_host_costs_its_time_limit_once_and_nothing_of_the_others(store, begun, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_LIMIT_S", 1.0)
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # Accepts and never says a word, as a host does whose disk has died.
        def accept():
            while True:
                try:
                    asked.append(silent.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        port = silent.getsockname()[1]
        dead = f"{LOCAL}    dead-1: {{ansible_host: 127.0.0.1, ansible_port: {port}, project_dir: /srv/shop}}\n"
        soak = begun(dead, [on_host(f"p{n}", "true") for n in range(20)], ("web-1", "dead-1"))
        found = tick(store, soak, 1)
    assert len(asked) == 1
    counts = {host: {s.ok for s in found.samples if s.host == host} for host in ("web-1", "dead-1")}
    assert counts == {"web-1": {True}, "dead-1": {None}}
    assert len(found.samples) == 40
    for channel in asked:
        channel.close()


def test_one_exchange_a_host_asks_all_its_probes(store, begun):
    soak = begun(probes=[on_host(f"p{n}", "sh", "-c", f"exit {n % 2}") for n in range(20)])
    ticker = Ticker(store, Mask(), "eve")
    ticker.tick(soak, at(1))
    assert [link.exchanges for link in ticker._links.values()] == [1]
    ticker.tick(soak, at(31))
    assert [link.exchanges for link in ticker._links.values()] == [2]
    ticker.close()


def test_no_secret_that_is_known_is_kept_of_what_a_probe_says(store, begun):
    soak = begun(probes=(on_host("leaky", "sh", "-c", "echo login with hunter22 failed; exit 1"),))
    mask = Mask()
    mask.add("hunter22")
    Ticker(store, mask, "eve").tick(soak, at(1))
    (incident,) = incidents(store, Soaks(store).series("s-1"))
    assert incident.detail == "login with ******** failed"


def test_a_soak_is_ended_and_judged_when_its_time_is_over_whoever_notices_first(store, begun):
    soak = begun(seconds=90.0)
    for seconds in (1, 31, 61):
        assert tick(store, soak, seconds).ended is None
    ended = tick(store, soak, 95).ended
    assert (ended.state, ended.outcome, ended.ended) == ("ended", "inconclusive", soak.end.isoformat())
    assert ended.reason == "3 of 3 samples are good: 2700 more good ones are needed to claim more than 99.9 %"
    assert tick(store, soak, 99).ended is None, "it is told once"
    assert Soaks(store).all(running=True) == ()


def test_a_soak_that_nobody_ticked_to_its_end_is_ended_by_who_looks(store, begun):
    soak = begun(seconds=90.0)
    tick(store, soak, 1)
    found = soaking.ended(store, soak)
    assert (found.state, found.outcome) == ("ended", "inconclusive")
    assert found.reason == "coverage is 33.333 %, 90 % is needed"


def test_one_that_is_stopped_failed_if_that_was_shown_already(store, begun):
    soak = begun(
        probes=(on_host("bad", "false"),),
        every_s=30.0,
        started=(datetime.now(UTC) - timedelta(seconds=100)).isoformat(),
    )
    for _ in range(3):
        Ticker(store, Mask(), "eve").tick(soak, soak.begin + timedelta(seconds=1 + 30 * _))
    stopped = soaking.stop(store, soak, "stopped by eve")
    assert (stopped.state, stopped.outcome) == ("stopped", "fail")
    assert soaking.stop(store, soak, "stopped by eve") is None


def test_a_clock_that_was_set_back_is_said(store, begun):
    soak = begun()
    assert tick(store, soak, 1200).number is not None
    assert tick(store, soak, 300).note.startswith("the clock was set back: the last tick began at 2026-01-01T00:20:00")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Adak", "Pacific/Kiritimati"])
def test_the_zone_of_the_machine_changes_nothing(store, begun, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        soak = begun()
        assert [tick(store, soak, seconds).number for seconds in (1, 31, 62)] == [0, 1, 2]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_probe_that_holds_a_secret_is_not_stored(monkeypatch):
    found = Survey("redis-cli -a hunter22 ping")
    monkeypatch.setattr(
        soak_probes, "all_probes", lambda *_: (Probe("container", "container:redis", "redis"), found.probe)
    )
    mask = Mask()
    mask.add("hunter22")
    probes, notes = soak_probes.probes_of(found, mask)
    assert "health:redis" not in {probe.name for probe in probes}
    assert {"container:redis", "startup:redis", "cpu:redis", "memory:redis"} == {probe.name for probe in probes}
    assert notes == ("health:redis is not asked: its words hold a secret, which is not stored",)
    assert "hunter22" not in json.dumps([dict(probe.settings) for probe in probes])


class Survey:
    """As much of a survey as is looked at."""

    def __init__(self, check):
        service = type("Service", (), {"image": "redis:8", "value": {}, "environment": {}})()
        self.stack, self.facts = type("Stack", (), {"services": {"redis": service}})(), None
        self.probe = Probe("command", "health:redis", "redis", {"command": check.split()})


@pytest.fixture
def begun_on_small_disk(tmp_path, monkeypatch):
    """A soak whose store is on a file system of one megabyte, and what fills and frees that."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system here")
    monkeypatch.delenv("RUNBOOK_STORE", raising=False)
    monkeypatch.setenv("RUNBOOK_STATE", str(disk / "own"))
    (tmp_path / "shop.yml").write_text(LOCAL)
    store = Store()
    soak = Soak("s-1", "shop", str(tmp_path), (), "1", "", "", "eve", BEGIN.isoformat(), 3600.0, 30.0)
    Soaks(store).start(soak, [("web-1", "shop", on_host("true", "true"))])

    def fill():
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    yield store, soak, fill, (disk / "ballast").unlink
    store.close()
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_loses_no_tick_that_was_acknowledged(begun_on_small_disk):
    store, soak, fill, free = begun_on_small_disk
    acknowledged = [tick(store, soak, 30 * number + 1).number for number in range(3)]
    fill()
    refused = 0
    for number in range(3, 40):
        try:
            acknowledged.append(tick(store, soak, 30 * number + 1).number)
        except Exception as error:
            assert "the evidence store cannot be used" in str(error)
            assert len(str(error).splitlines()) == 1
            refused += 1
    assert refused > 0
    assert told(store)["true"] == (len(acknowledged), 0, 0)
    free()
    acknowledged.append(tick(store, soak, 30 * 41).number)
    assert told(store)["true"] == (len(acknowledged), 0, 0)
    assert acknowledged[-1] in (40, 41)
