"""What belongs to one checkout's practice hosts: names, keys and ports that no other has, whole after any interruption."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inventory.connection import LocalLink
from inventory.errors import Refused
from inventory.model import Host, Project
from lab import checkout, demo, hosts
from lab.state import HOSTS, MARKER, ROOT, LabState


def test_two_checkouts_share_no_name_no_port_and_no_key(tmp_path: Path) -> None:
    one, other = LabState(tmp_path / "one"), LabState(tmp_path / "other")
    ports = {**{f"one {k}": v for k, v in checkout.identity(one).items()}, **checkout.identity(other)}
    assert len(set(ports.values())) == 2 * len(HOSTS)
    for host in HOSTS:
        assert one.container(host) != other.container(host)
        assert one.volume(host) != other.volume(host)
    assert one.key.read_bytes() != other.key.read_bytes()
    assert one.labels()["compose-runbook.lab"] != other.labels()["compose-runbook.lab"]


def test_keys_and_ports_stay_from_one_lab_up_to_the_next(tmp_path: Path) -> None:
    state = LabState(tmp_path)
    ports = checkout.identity(state)
    before = {path.name: path.read_bytes() for path in state.folder.iterdir()}
    assert checkout.identity(state) == ports
    assert {path.name: path.read_bytes() for path in state.folder.iterdir()} == before
    assert {path.stat().st_mode & 0o077 for path in state.folder.iterdir()} == {0}
    for host, port in ports.items():
        assert f"Host {host}\n    HostName 127.0.0.1\n    Port {port}\n" in state.ssh_config.read_text()
        assert f"{host} ssh-ed25519 " in state.known_hosts.read_text()


def test_what_an_interruption_left_half_is_made_anew_and_fits_together(tmp_path: Path) -> None:
    state = LabState(tmp_path)
    checkout.identity(state)
    (state.folder / "ports.json").unlink()
    state.known_hosts.write_text("half a li")
    checkout.identity(state)
    for host in HOSTS:
        public = (state.folder / f"{host}.pub").read_text().strip()
        assert f"{host} {public}\n" in state.known_hosts.read_text()


def test_a_second_lab_up_of_a_checkout_waits_for_the_first(tmp_path: Path) -> None:
    holder = (
        "import pathlib, sys\nfrom lab import checkout\n"
        "with checkout.turn(print, pathlib.Path(sys.argv[1])):\n    print('mine', flush=True)\n    sys.stdin.readline()\n"
    )
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None
    assert child.stdout.readline() == "mine\n"
    told: list[str] = []

    def hear(what: str, done: int = 0, total: int = 0, /) -> None:
        told.append(what)
        child.stdin.write("go on\n")  # type: ignore[union-attr]
        child.stdin.flush()  # type: ignore[union-attr]

    with checkout.turn(hear, tmp_path):
        assert child.wait(60) == 0
    assert told == ["waiting: another lab.up or lab.down of this checkout is at work"]


@pytest.mark.skipif(Path(MARKER).exists(), reason="this machine is a practice host")
def test_the_demo_touches_no_host_that_lab_up_did_not_make() -> None:
    with pytest.raises(Refused, match="is no practice host"):
        demo.only_practice(LocalLink(Host("here", "here", Project("/srv"), connection="local")))


def test_a_host_that_an_earlier_run_left_migrated_is_told_at_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "reconciliation", project)
    (tmp_path / "marker").touch()
    monkeypatch.setattr(demo, "MARKER", str(tmp_path / "marker"))
    monkeypatch.setattr(demo, "PROJECT_DIR", str(project))
    link = LocalLink(Host("staging-1", "staging-1", Project(str(project)), connection="local"))
    demo.never_migrated(link)
    (project / "docker-compose.yml").write_text("services: {}\n")
    with pytest.raises(Refused, match=r"staging-1: was changed by an earlier run: .* \(run \./inv lab\.down first\)"):
        demo.never_migrated(link)
    (project / "docker-compose.yml").unlink()
    with pytest.raises(Refused, match=r"lab\.down first"):
        demo.never_migrated(link)


def test_an_interval_takes_the_place_of_that_of_the_example_s_own_checks_and_of_nothing_else() -> None:
    data = (ROOT / "examples" / "reconciliation" / hosts.COMPOSE).read_bytes()
    assert hosts.checked_every("", data) == data
    changed = hosts.checked_every("10s", data)
    assert changed.count(b"      interval: 10s\n") == data.count(b"interval:") == 4
    assert changed.replace(b"interval: 10s", b"interval: 30s") == data
