"""The fleet benchmark in small: real SSH servers on loopback, every file checked byte for byte, counts and never times."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fleet import chart, measure, ours, work
from benchmarks.fleet.bench import choose
from benchmarks.fleet.servers import SSHD, Fleet, fleet, free_port
from benchmarks.fleet.tools import TOOLS
from benchmarks.subjects import settings
from inventory.errors import HostFailed, InputError
from inventory.pool import Pool
from runbooks import session
from runbooks.commands import migrating, rolling_back
from runbooks.commands.choice import Choice
from runbooks.output import Output

pytestmark = pytest.mark.slow

GIVEN = {"hosts": "20", "turns": "3", "latency": "0ms", "forks": "20", "servers": "0", "picture": ""}


@pytest.fixture(scope="module")
def up() -> Iterator[Fleet]:
    """Six hosts behind two servers."""
    if not Path(SSHD).exists() or not shutil.which("ssh-keygen"):
        pytest.skip("no SSH server on this machine: apt-get install openssh-server")
    with fleet(6, servers=2) as made:
        ours.inventory(made)
        yield made


@pytest.fixture
def pools(up: Fleet, monkeypatch: pytest.MonkeyPatch) -> list[Pool]:
    """The pools of connections that commands make; the controller's state is the fleet's own."""
    made: list[Pool] = []
    monkeypatch.setattr(session, "Pool", lambda *given: made.append(Pool(*given)) or made[-1])
    monkeypatch.setenv("RUNBOOK_STATE", str(up.folder / "controller"))
    work.reset(up)
    return made


def migrate(up: Fleet, forks: int, serial: str = "100%") -> int:
    choice = Choice("files", "fleet", up.folder / "inventory")
    return migrating.migrate(Output(yes=True), choice, migrating.How(serial=serial, forks=str(forks)))


def exchanges(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts exchanges by host from now on."""
    from inventory.shell import Shell

    found: dict[str, int] = {}
    whole = Shell.exchange

    def counted(self, commands, deadline, timeout_s, limit, host):  # type: ignore[no-untyped-def]
        found[host] = found.get(host, 0) + 1
        return whole(self, commands, deadline, timeout_s, limit, host)

    monkeypatch.setattr(Shell, "exchange", counted)
    return found


def test_a_run_takes_one_connection_one_session_and_four_exchanges_a_host(up: Fleet, pools: list[Pool], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    before, counts = up.sessions(), exchanges(monkeypatch)
    assert migrate(up, 20) == 0
    work.check(up, work.AFTER, "compose-runbook", "apply")
    after = up.sessions()
    assert (after[0] - before[0], after[1] - before[1]) == (6, 6)
    # Opened and read; locked and written; probed; the gate noted and the lock given back.
    assert counts == dict.fromkeys(up.names, 4)
    counts.clear()
    assert migrate(up, 20) == 0
    assert counts == dict.fromkeys(up.names, 1), "where there is nothing to do a host is only read"
    counts.clear()
    assert rolling_back.rollback(Output(yes=True), "fleet", folder=up.folder / "inventory") == 0
    work.check(up, work.BEFORE, "compose-runbook", "roll back")
    assert max(counts.values()) <= 4
    assert not any(list(up.project(name).glob(".compose-runbook*")) for name in up.names)


def test_no_more_than_the_set_number_are_connected_and_dead_hosts_hold_nobody_up(up: Fleet, pools: list[Pool]) -> None:
    path = up.folder / "inventory" / "fleet.yml"
    whole = path.read_text()
    found = json.loads(whole)
    for number in range(3):
        found["all"]["hosts"][f"dead{number}"] = {
            "ansible_port": free_port(),
            "project_dir": "/srv",
            "state_dir": "/srv",
        }
    path.write_text(json.dumps(found))
    try:
        assert migrate(up, 3) == 5
    finally:
        path.write_text(whole)
    work.check(up, work.AFTER, "compose-runbook", "apply")
    assert pools[0].peak == 3


def test_a_fleet_larger_than_may_be_connected_is_connected_once_to_be_looked_at_and_once_to_be_changed(up: Fleet, pools: list[Pool]) -> None:  # fmt: skip
    before = up.sessions()
    assert migrate(up, 2) == 0
    changed = up.sessions()
    assert changed[0] - before[0] <= 2 * len(up.names)
    assert rolling_back.rollback(Output(yes=True), "fleet", folder=up.folder / "inventory", forks="2") == 0
    assert up.sessions()[0] - changed[0] <= 2 * len(up.names)
    work.check(up, work.BEFORE, "compose-runbook", "roll back")
    assert [pool.peak for pool in pools] == [2, 2]


@pytest.mark.lab
def test_every_tool_is_measured_in_turn_and_leaves_the_same_bytes(up: Fleet) -> None:
    for tool in choose(["compose"]):
        tool.prepare(up)
        found = measure.turn(up, tool, 12)
        assert {what: each.connections for what, each in found.items()} == dict.fromkeys(measure.PIECES, 1.0)
        assert all(each.memory_mib > 1 and each.controller_s > 0 for each in found.values())


@pytest.mark.lab
def test_the_peers_do_the_same_work(up: Fleet) -> None:
    for tool in TOOLS:
        tool.prepare(up)
    for tool in TOOLS[2:]:
        found = measure.turn(up, tool, 12)
        # Mitogen connects once to hosts that stand at one address.
        assert all(each.sessions > 0 for each in found.values()), tool.name


def test_a_file_that_a_tool_left_wrong_is_told(up: Fleet) -> None:
    work.reset(up)
    (up.project("host0003") / work.FILE).write_text(work.BEFORE + "\n")
    with pytest.raises(HostFailed, match="host0003: pyinfra left another file after roll back"):
        work.check(up, work.BEFORE, "pyinfra", "roll back")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("hosts", "0", "must be from 1"), ("hosts", "1,many", "whole number"), ("hosts", "9999", "must be from 1"),
        ("turns", "0", "must be from 1"), ("latency", "soon", "is not a duration"), ("forks", "-1", "below 0"),
    ],
)  # fmt: skip
def test_an_option_that_does_not_fit_is_one_line_with_the_mend(name: str, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings(GIVEN | {name: text}, ())


def test_a_tool_that_is_none_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"'chef' is no tool \(tools: floor"):
        choose(["chef"])


def test_the_chart_draws_a_line_for_each_tool() -> None:
    drawn = chart.svg({5: {"a": 0.5, "b": 2.0}, 20: {"a": 1.0, "b": 20.0}})
    assert drawn.count("<polyline") == 2 and "b 20.0 s" in drawn and drawn.rstrip().endswith("</svg>")
