"""What the demos of phase 3 and of all phases read and reckon: wishes, times, hosts in URLs, bytes, soaks, and what was missed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from checks.evidence import Soaks, Store
from checks.model import Probe
from checks.soak import Soak, now
from inventory.errors import HostFailed, InputError
from inventory.secrets import Mask
from inventory.text import load
from lab import demo, demo_3, demo_all, figures_3
from lab.figures_3 import Figures
from lab.measure import files, lease, naming, scaling
from lab.measure.cache import Cache, Reads
from lab.measure.files import File
from lab.measure.lease import Lease
from lab.measure.naming import Named
from lab.measure.scaling import Scaling
from runbooks.output import Output
from tests.services import servers

GOOD = Figures(
    Reads(1100, 0, 0.001), Reads(1100, 1000, 0.001), Cache((0.001, 0.004, 0.002), 0, 50, 50, 0.91), 12, 12,
    Lease(1.0, 7.0, 3.0), Named(14, 0, "600", "a", "c"), Named(0, 9, "600", "a", "c"),
    Scaling((2, 3, 4), (4, 2), (99.0, 80.0, 1.0), 5000, 0, 0.2), 100.0, 60.0, 0, True,
)  # fmt: skip


def test_the_wishes_stand_beside_the_project_and_production_requires_a_shorter_soak() -> None:
    staging = load(demo_3.wishing((demo.FOLDER / "staging.yml").read_text()).encode(), "staging.yml")
    found = staging["all"]["children"]["staging"]["vars"]
    assert found["project_dir"] == "/srv/reconciliation"
    assert {name: found[name] for name in demo_3.WISHES} == demo_3.WISHES
    text = demo_all.wishing((demo.FOLDER / "production.yml").read_text())
    found = load(text.encode(), "production.yml")["all"]["children"]["production"]["vars"]
    assert found["requires_soak"] == {"environment": "staging", "hours": demo_all.REQUIRED_HOURS}
    assert {name: found[name] for name in demo_3.WISHES} == demo_3.WISHES


def test_a_soak_is_as_long_as_its_claim_needs_and_no_shorter_than_what_production_requires() -> None:
    assert demo_all.seconds_of(50) == 56.0
    assert demo_all.seconds_of(1000) == 36.0
    assert demo_all.seconds_of(0) > 2700


@pytest.mark.parametrize(("word", "outcome"), [("true", "pass"), ("false", "fail")])
@pytest.mark.parametrize(("length_s", "ticks"), [(36.0, 36), (36.0012, 37)])
def test_a_shortened_soak_makes_every_tick_on_real_programs_and_ends_with_its_verdict(
    tmp_path: Path, word: str, outcome: str, length_s: float, ticks: int
) -> None:
    (tmp_path / "staging.yml").write_text("all:\n  hosts:\n    web-1: {ansible_connection: local, project_dir: /srv}\n")
    store = Store(f"sqlite:///{tmp_path}/evidence.sqlite")
    try:
        probes = [
            Probe("command", f"{word}-{n}", "web", {"command": [word], "on_host": True}, 60.0) for n in range(100)
        ]
        soak = Soak("s-1", "staging", str(tmp_path), (), "1", "", "", "eve", now().isoformat(), length_s, demo_all.EVERY_S)  # fmt: skip
        Soaks(store).start(soak, [("web-1", "shop", probe) for probe in probes])
        found = demo_all.ticked(store, soak, Mask())
        assert (found.state, found.outcome) == ("ended", outcome), found.reason
        assert len(Soaks(store).ticks("s-1")) == soak.ticks == ticks
        with pytest.raises(HostFailed, match="by another program"):
            demo_all.ticked(store, soak, Mask())
    finally:
        store.close()


def test_all_that_was_shown_is_missed_when_it_was_not() -> None:
    assert figures_3.missed(GOOD) == []
    cache, scaled = GOOD.cache, GOOD.scaling
    for bad, word in (
        (replace(GOOD, registered=11), "registered"),
        (replace(GOOD, named_after=replace(GOOD.named_after, rendered="b")), "renders"),
        (replace(GOOD, named_after=replace(GOOD.named_after, containers="b")), "recreated"),
        (replace(GOOD, named_after=replace(GOOD.named_after, hosts=1)), "URL"),
        (replace(GOOD, cache=replace(cache, lost=1)), "invalidation"),
        (replace(GOOD, cache=replace(cache, warm=49)), "warm"),
        (replace(GOOD, cache=replace(cache, ratio=None)), "hit"),
        (replace(GOOD, scaling=replace(scaled, up=(4, 4))), "more replicas"),
        (replace(GOOD, scaling=replace(scaled, down=(4, 4))), "no replica went"),
        (replace(GOOD, scaling=replace(scaled, failed=1, why={"503": 1})), "503"),
        (replace(GOOD, different=1), "NOT as before"),
        (replace(GOOD, as_before=False), "NOT as before"),
    ):
        (told,) = figures_3.missed(bad)
        assert word in told


def test_the_rows_say_what_was_measured() -> None:
    rows = {each["what"]: each["after"] for each in figures_3.rows(GOOD)}
    assert rows["services in the registry, well"] == "12 of 12"
    assert rows["an invalidation arrives after, median"] == "2.0 ms"
    assert rows["the slowest of 3"] == "4.0 ms"
    assert rows["replicas under load, and after it"] == "2 3 4, 2"
    assert rows["requests meanwhile, failed"] == "5000, 0"
    (table,) = figures_3.tables(GOOD)
    assert table.row_count == len(rows)


def test_a_lease_is_read_and_one_that_did_not_end_is_an_error() -> None:
    assert lease.read("100.5 101.0 107.5 108.0 110.0\n", "web") == Lease(0.5, 7.0, 2.0)
    assert lease.read("100.5 - 107.5 108.0 110.0\n", "web").unwell_s is None
    with pytest.raises(HostFailed, match="web is registered although it was stopped"):
        lease.read("is registered although it was stopped\n", "web")
    with pytest.raises(HostFailed, match="web gave no figures"):
        lease.read("", "web")


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("URL: postgresql://a:b@postgres:5432/x", 1),
        ("URLS: http://web/a,http://postgres:1/b", 2),
        ("URL: http://${POSTGRES_SERVICE}:5432/postgres", 0),
        ("image: docker.io/postgres:17", 0),
        ("URL: http://postgres-2:5432", 0),
        ("URL: 'http://web'", 1),
    ],
)
def test_hosts_in_urls_are_services_of_the_stack_and_nothing_else(line: str, count: int) -> None:
    assert naming.in_urls(line, ["postgres", "web"]) == count


def test_where_services_live_is_read_from_the_files_themselves() -> None:
    text = "aa  -\nbb  -\n600\n2\npostgres web \nservices:\n  url: http://web:80\n  command: [--me=http://web:80]\n"
    assert naming.read(text) == Named(1, 2, "600", "aa", "bb")
    with pytest.raises(HostFailed, match="does not say where services live"):
        naming.read("")


def test_bytes_that_differ_are_counted_and_modes_owners_and_files_that_came_are_told() -> None:
    old = {"a": File(b"abcd", 0o644, (0, 0)), "b": File(b"x", 0o600, (0, 0))}
    assert (files.bytes_different(old, dict(old)), files.changed(old, dict(old))) == (0, [])
    new = {"a": File(b"abXdef", 0o644, (0, 0)), "b": File(b"x", 0o644, (0, 0)), "c": File(b"123", 0o644, (0, 0))}
    assert (files.bytes_different(old, new), files.changed(old, new)) == (1 + 2 + 3, ["a", "b", "c"])


@pytest.mark.parametrize(("path", "failed"), [("/200/0", 0), ("/503/0", 5)])
def test_those_who_press_count_every_request_and_each_that_failed(path: str, failed: int) -> None:
    with servers.web() as web:
        words = [sys.executable, str(scaling.PROGRAM), "127.0.0.1", str(web), path, "1", "0", "0.5"]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    found = json.loads(said[-1])
    assert (said[0], found["asked"] >= 1) == ("pressing", True)
    assert sum(found["failed"].values()) == (found["asked"] if failed else 0)


def test_a_demo_that_is_none_and_two_at_once_are_one_clear_line() -> None:
    out = Output()
    out.mask = Mask()
    with pytest.raises(InputError, match=r"--all, --phase: are two demos \(name one of them\)"):
        demo.chosen(out, "2", every=True)
    with pytest.raises(InputError, match=r"--phase: there is no demo of phase 9 \(name 1, 2 or 3\)"):
        demo.chosen(out, "9")
