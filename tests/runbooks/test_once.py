"""Hosts with the same files are planned once; what differs between them still is each one's own."""

import threading

import pytest

from inventory.connection import LocalLink
from inventory.errors import InputError
from inventory.model import Host, Project
from inventory.once import Once
from inventory.secrets import MASKED, Mask
from runbooks import book, draft, learning, propose
from runbooks import plan as plans
from runbooks.compose import project
from tests.runbooks.test_applying import COMPOSE


def plan(folder, name, mask=None, **variables):
    host = Host(name, name, Project(str(folder)), connection="local", variables=variables)
    return propose.of_host(LocalLink(host), host, book.load("files"), mask or Mask(), lambda _event: None)


def test_hosts_with_the_same_files_are_read_and_walked_once(tmp_path, monkeypatch):
    calls = []
    load, walk = project.load, draft.walk
    monkeypatch.setattr(project, "load", lambda *given: calls.append("load") or load(*given))
    monkeypatch.setattr(draft, "walk", lambda *given: calls.append("walk") or walk(*given))
    (tmp_path / "compose.yml").write_text(COMPOSE)
    one, two = plan(tmp_path, "web-1", ansible_port=1), plan(tmp_path, "web-2", ansible_port=2)
    assert calls == ["load", "walk"]
    assert (one.host, two.host) == ("web-1", "web-2") and one.files == two.files != ()
    (tmp_path / "compose.yml").write_text(COMPOSE + "# another byte\n")
    assert plan(tmp_path, "web-3").files != one.files and calls == ["load", "walk"] * 2


def test_what_a_stack_teaches_and_how_its_steps_are_told_is_found_out_once_for_all_hosts(tmp_path, monkeypatch):
    calls, masks = [], [Mask(), Mask()]
    of_stack, told = learning.of_stack, plans._step
    monkeypatch.setattr(learning, "of_stack", lambda *given: calls.append("learn") or of_stack(*given))
    monkeypatch.setattr(plans, "_step", lambda *given: calls.append("tell") or told(*given))
    (tmp_path / "compose.yml").write_text(COMPOSE + "# password: only-in-this-test\n")
    one, two = plan(tmp_path, "web-1", masks[0]), plan(tmp_path, "web-2", masks[1])
    assert calls == ["learn", *["tell" for stage in one.stages for _ in stage.steps]]
    assert one.stages == two.stages
    assert [mask.hide("only-in-this-test") for mask in masks] == [MASKED] * 2
    (tmp_path / "compose.yml").write_text(COMPOSE + "# password: of-another-stack\n")
    plan(tmp_path, "web-3", masks[0])
    assert masks[0].hide("of-another-stack, only-in-this-test") == f"{MASKED}, {MASKED}"
    assert masks[1].hide("of-another-stack") == "of-another-stack"


def test_another_variable_that_steps_may_read_is_walked_anew(tmp_path, monkeypatch):
    walked = []
    walk = draft.walk
    monkeypatch.setattr(draft, "walk", lambda *given: walked.append(given[3]) or walk(*given))
    (tmp_path / "compose.yml").write_text(COMPOSE)
    for edges in ("keep", "strong", "keep"):
        plan(tmp_path, "web-1", telemetry_edges=edges)
    assert [each["telemetry_edges"] for each in walked] == ["keep", "strong"]


def test_threads_that_ask_at_once_share_one_piece_of_work():
    once, begun, gate = Once(), [], threading.Event()

    def work():
        begun.append(1)
        gate.wait(20)
        return "done"

    found = []
    threads = [threading.Thread(target=lambda: found.append(once.get("k", work))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert found == ["done"] * 8 and begun == [1]


def test_what_failed_is_raised_and_tried_again():
    once = Once()

    def fail():
        raise InputError("bad")

    for _ in range(2):
        with pytest.raises(InputError):
            once.get("k", fail)
    assert once.get("k", lambda: 1) == 1


def test_only_the_last_results_are_kept():
    once, made = Once(most=2), []
    for key in "abca":
        once.get(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c", "a"]
