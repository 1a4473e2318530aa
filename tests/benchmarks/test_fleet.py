"""The fleet benchmark in small: real SSH servers on loopback, every file checked byte for byte, counts and never times."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from benchmarks.fleet import chart, measure, ours, work
from benchmarks.fleet.bench import choose
from benchmarks.fleet.servers import SSHD, Fleet, fleet, free_port
from benchmarks.fleet.tools import TOOLS
from benchmarks.subjects import settings
from inventory.errors import HostFailed, InputError
from inventory.pool import Pool
from inventory.secrets import Mask
from runbooks import book, events, propose, session
from runbooks.commands import migrating, rolling_back
from runbooks.commands.choice import Choice
from runbooks.output import Output

pytestmark = pytest.mark.slow

LIMIT_S = 60.0
LOGIN_BYTES = 6000
"""More than a server says until a login is done (about 3 KB), less than the first answer (a file of 10 KB)."""
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
            "state_dir": "/srv/.state",
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


def test_every_tool_is_measured_in_turn_and_leaves_the_same_bytes(up: Fleet) -> None:
    for tool in choose(["compose"]):
        tool.prepare(up)
        found = measure.turn(up, tool, 12)
        assert {what: each.connections for what, each in found.items()} == dict.fromkeys(measure.PIECES, 1.0)
        assert all(each.memory_mib > 1 and each.controller_s > 0 for each in found.values())


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


def test_hosts_with_a_server_each_keep_their_stack_in_the_same_place_and_are_planned_and_shown_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path))
    with fleet(3) as made:
        if not made.alike:
            pytest.skip("this machine lets nobody mount")
        ours.inventory(made)
        work.reset(made)
        assert migrate(made, 3) == 0
        work.check(made, work.AFTER, "compose-runbook", "apply")
        said = capsys.readouterr().out
        assert f"host0001, host0002, host0003  {made.folder}/host/srv\n" in said
        assert sum("~" in line and "app7" in line for line in said.splitlines()) == 1, "one plan for all"
        assert all((made.state(name) / "journal").is_file() for name in made.names)


@contextmanager
def slowed(up: Fleet, name: str, gate: threading.Event) -> Iterator[None]:
    """One host behind a proxy that lets a login through, and what is said after it only when `gate` is set."""
    path, whole = up.folder / "inventory" / "fleet.yml", (up.folder / "inventory" / "fleet.yml").read_text()
    server = socket.create_server(("127.0.0.1", 0))
    to = up.ports[up.names.index(name)]

    def passed(one: socket.socket, two: socket.socket, *, held: bool) -> None:
        with suppress(OSError):
            said = 0
            while data := one.recv(1 << 12):
                said += len(data)
                if held and said > LOGIN_BYTES:
                    gate.wait(LIMIT_S)
                two.sendall(data)
            two.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(("127.0.0.1", to))
                threading.Thread(target=passed, args=(near, far), kwargs={"held": False}, daemon=True).start()
                threading.Thread(target=passed, args=(far, near), kwargs={"held": True}, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    port = server.getsockname()[1]
    known = up.known_hosts.read_text()
    key = next(line.split(" ", 1)[1] for line in known.splitlines() if line.startswith(f"[127.0.0.1]:{to} "))
    up.known_hosts.write_text(f"{known}[127.0.0.1]:{port} {key}\n")
    found = json.loads(whole)
    found["all"]["hosts"][name]["ansible_port"] = port
    for number in range(3):
        dead = {"ansible_port": free_port(), "project_dir": "/srv", "state_dir": "/srv/.state"}
        found["all"]["hosts"][f"dead{number}"] = dead
    path.write_text(json.dumps(found))
    try:
        yield
    finally:
        gate.set()
        server.close()
        path.write_text(whole)
        up.known_hosts.write_text(known)


def test_one_slow_and_three_dead_hosts_hold_no_other_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow host says nothing before all others have been read; then all of them are written before it is let go on."""
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path))
    with fleet(20, servers=2) as made:
        ours.inventory(made)
        work.reset(made)
        gate, told, others = threading.Event(), list[events.Event](), 19
        lock = threading.Lock()

        def hear(event: events.Event) -> None:
            with lock:
                told.append(event)
                if sum(isinstance(each, events.HostSurveyed) for each in told) == others:
                    gate.set()

        with slowed(made, "host0011", gate), session.opened(
            "fleet", made.folder / "inventory", None, Mask(), forks=8
        ) as opened:  # fmt: skip
            plan = propose.live(opened, book.load("files"), hear)
        order = [event.host for event in told if isinstance(event, events.HostSurveyed)]
        assert len(order) == 20 and order[-1] == "host0011", "all others were read while it said nothing"
        assert sorted(opened.errors) == ["dead0", "dead1", "dead2"]
        assert [host.host for host in plan.hosts if host.changed] == list(made.names)
