"""`history`: who ran what plan, its steps and gates, how it ended, and each host's journal; as text and as one document."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from checks.evidence import GateRecord, RunRecord, StepRecord, Store, UpRecord
from inventory import connection, inventory
from inventory.secrets import Mask
from rollback.commit import HostWriter
from runbooks import book
from tests.cli.typed import typed

HOSTS = "all:\n  hosts:\n    web-1: {ansible_connection: local, project_dir: TMP/shop, state_dir: TMP/kept}\n"
FAR = "    far-1: {ansible_host: 127.0.0.1, ansible_port: 1, project_dir: /srv/shop}\n"
MIGRATE = RunRecord(
    "r-1", "migrate", "shop", "1", "eve@desk", "f" * 64, "k" * 64, "2026-03-01T10:00:00.000+00:00", None, "", None, "", {}, "",
    "health_checks", "a customer waits",
)  # fmt: skip
ROLLBACK = RunRecord(
    "r-2", "rollback", "shop", "1", "bob@desk", "", "", "2026-03-01T11:00:00.000+00:00", None, "", None, "", {}, "r-1"
)
OTHER = RunRecord(
    "r-3", "migrate", "other", "2", "bob@desk", "a", "b", "2026-03-01T12:00:00.000+00:00", None, "", None, "", {}, ""
)
STORY = """shop  2 run(s) from here
2026-03-01T10:00:00  r-1  migrate phase 1 by eve@desk, plan ffffffffffff: rolled back, exit code 3 (web-1 undone)
    ! override: a customer waits
    2026-03-01T10:00:05  web-1  health_checks: done (4 s)
    2026-03-01T10:00:11  gate after the change of health_checks: fail: web on web-1 is unhealthy
    2026-03-01T10:00:15  web-1  health_checks: undone (3 s)
2026-03-01T11:00:00  r-2  rollback of r-1 by bob@desk: it was cut off, or goes on
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An operator's inventory of this machine, with a project and an empty store."""
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "own"))
    monkeypatch.delenv("RUNBOOK_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "compose.yml").write_text("services: {web: {image: nginx}}\n")
    (tmp_path / "shop.yml").write_text(HOSTS.replace("TMP", str(tmp_path)))
    (tmp_path / "wide.yml").write_text((HOSTS + FAR).replace("TMP", str(tmp_path)))
    return tmp_path


@pytest.fixture
def told(desk):
    """Three runs in the store, and events in the host's journal."""
    store = Store()
    for run in (MIGRATE, ROLLBACK, OTHER):
        store.start(run)
    store.step(StepRecord("r-1", "2026-03-01T10:00:05.000+00:00", "web-1", "health_checks", "done", 4.2))
    store.up(UpRecord("r-1", "2026-03-01T10:00:07.000+00:00", "web-1", "web", True, 1.5))
    store.gate(GateRecord("r-1", "2026-03-01T10:00:11.000+00:00", "health_checks", "change", "fail", "web on web-1 is unhealthy", 9, 3, 0, 6.0))  # fmt: skip
    store.step(StepRecord("r-1", "2026-03-01T10:00:15.000+00:00", "web-1", "health_checks", "undone", 3.0))
    store.end("r-1", outcome="rolled back", code=3, message="the gate failed", hosts={"web-1": "undone"})
    store.close()
    (host,) = inventory.load("shop", desk, book.declared()).hosts
    with closing(connection.connect(host, Mask())) as link:
        writer = HostWriter(link, str(desk / "shop"), "shop", run="r-1", who="eve@desk", state_dir=str(desk / "kept"))
        writer.prepare()
        writer.lock()
        for number in range(3):
            writer.note("gate", {"outcome": f"number {number}"})
        writer.release()
    return desk


def asked(capfd, folder, *words):
    return typed(capfd, "history", "--inventory", str(folder), *words)


def test_an_empty_store_and_an_empty_journal_are_said_to_be_empty(desk, capfd):
    found = asked(capfd, desk, "--env", "shop")
    assert (found.code, found.err) == (0, "")
    assert found.out == "shop  0 run(s) from here\nweb-1  0 event(s)\n"
    found = asked(capfd, desk, "--env", "shop", "--json")
    assert json.loads(found.out) == {"environment": "shop", "runs": [], "hosts": {"web-1": []}}


def test_each_run_says_who_made_it_of_what_plan_its_steps_and_gates_and_how_it_ended(told, capfd):
    found = asked(capfd, told, "--env", "shop")
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith(STORY), found.out
    journal = found.out.removeprefix(STORY).splitlines()
    assert journal[0] == f"web-1  {len(journal) - 1} event(s)"
    assert [line.split("r-1  ")[1] for line in journal if "outcome=" in line] == [
        f"outcome=number {n}" for n in range(3)
    ]


def test_the_document_holds_all_of_it_the_newest_run_first(told, capfd):
    document = json.loads(asked(capfd, told, "--env", "shop", "--json").out)
    newest, first = document["runs"]
    assert (newest["id"], newest["undoes"], newest["ended"], newest["code"]) == ("r-2", "r-1", None, None)
    assert {name: first[name] for name in ("id", "kind", "phase", "who", "fingerprint", "promotion_key", "steps", "override")} == {
        "id": "r-1", "kind": "migrate", "phase": "1", "who": "eve@desk", "fingerprint": "f" * 64, "promotion_key": "k" * 64,
        "steps": "health_checks", "override": "a customer waits",
    }  # fmt: skip
    assert (first["outcome"], first["code"], first["message"], first["hosts"]) == (
        "rolled back", 3, "the gate failed", {"web-1": "undone"},
    )  # fmt: skip
    assert [(step["host"], step["outcome"], step["seconds"]) for step in first["steps_done"]] == [
        ("web-1", "done", 4.2), ("web-1", "undone", 3.0),
    ]  # fmt: skip
    assert [(gate["side"], gate["outcome"], gate["failed"]) for gate in first["gates"]] == [("change", "fail", 3)]
    assert [(up["service"], up["seconds"]) for up in first["ups"]] == [("web", 1.5)]
    events = document["hosts"]["web-1"]
    assert [event["data"]["outcome"] for event in events if event["kind"] == "gate"] == [
        "number 0",
        "number 1",
        "number 2",
    ]
    assert all(event["run"] == "r-1" and len(event["hash"]) == 64 for event in events)


def test_a_count_takes_the_newest_runs_and_events_and_none_takes_none(told, capfd):
    one = asked(capfd, told, "--env", "shop", "--count", "1").out
    assert "r-2  rollback of r-1" in one and "r-1  migrate" not in one
    assert one.count("outcome=") <= 1
    none = asked(capfd, told, "--env", "shop", "--count", "0").out
    assert [line.split("  ")[0] for line in none.splitlines()] == ["shop", "web-1"]


def test_a_host_that_does_not_answer_takes_nothing_from_the_others(told, capfd):
    found = asked(capfd, told, "--env", "wide", "--json")
    assert found.code == 5
    assert found.err.splitlines()[-1].startswith("error: far-1: cannot connect to 127.0.0.1:1")
    assert list(json.loads(found.out)["hosts"]) == ["web-1"]
    assert asked(capfd, told, "--env", "wide", "--limit", "web-1").code == 0


def test_a_journal_that_was_cut_off_shows_with_verify_and_only_then(told, capfd):
    assert "each in its place" in asked(capfd, told, "--env", "shop", "--verify").out
    (journal,) = (told / "kept").rglob("journal")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]))
    found = asked(capfd, told, "--env", "shop", "--verify")
    assert found.code != 0 and len(found.err.splitlines()) == 1
    assert "journal" in found.err
    assert asked(capfd, told, "--env", "shop").code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--env nope", "no environment nope"), ("--env shop --count many", "--count: 'many' is not a whole number"),
        ("--env shop --count=-1", "--count: cannot be below 0"), ("--env shop --limit nobody", "nobody is neither a host nor a group"),
    ],
)  # fmt: skip
def test_bad_words_are_one_line(desk, capfd, words, line):
    found = asked(capfd, desk, *words.split())
    assert (found.code, found.out) == (1, "")
    assert line in found.err and len(found.err.splitlines()) == 1
