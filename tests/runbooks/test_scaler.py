"""Replicas that follow their load, through the real program on a host that is a folder; only `docker` is a stand-in, which
keeps count of containers and shares a load among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inventory.connection import LocalLink
from inventory.errors import HostFailed, InputError
from inventory.model import Host, Project
from inventory.secrets import Mask
from rollback.commit import HostWriter
from runbooks import scaler
from runbooks.commands import scaling, soaking
from runbooks.output import Output
from runbooks.scaler import Scaled

pytestmark = pytest.mark.slow
DOCKER = r"""#!/bin/sh
here=${0%/*}/..
count() { cat "$here/count.$1"; }
case $1 in
    ps)
        [ ! -e "$here/away" ] || exit 1
        for service in web db; do
            n=$(count $service)
            while [ "$n" -gt 0 ]; do
                case "$*" in *--format*) echo "$service" ;; *) echo "$service-$n" ;; esac
                n=$((n - 1))
            done
        done ;;
    info) echo 4 ;;
    inspect) shift 3; for id in "$@"; do echo "limit $id 1000000000 0 0 ${id%-*}"; done ;;
    stats) shift $(($# - $(count web) - $(count db))); for id in "$@"; do echo "used $id $(($(cat "$here/load.${id%-*}") / $(count "${id%-*}")))% 1%"; done ;;
    compose)
        printf '%s\n' "$*" >>"$here/asked"
        case "$*" in *" --no-deps "*" db="* | *" db="*" --no-deps "*) echo "no such service: db: disabled" >&2; exit 1 ;; esac
        case "$*" in *" --no-start "*) exit 0 ;; esac
        if [ -e "$here/broken" ]; then echo "no room for that" >&2; exit 1; fi
        for word in "$@"; do case $word in *=*) echo "${word#*=}" >"$here/count.${word%=*}" ;; esac; done ;;
esac
"""


class Bench:
    """A host, its stand-in's counts and loads (percent of one CPU), and rounds at a time of the test's choice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "docker"
        project = folder / "app"
        project.mkdir()
        (project / "compose.yml").write_text(
            "services:\n  web:\n    image: web\n    depends_on: [db]\n  db: {image: db}\n"
        )
        self.compose = project / "compose.yml"
        self.host = Host(
            "web-1", "web-1", Project(str(project), "app", state_dir=str(folder / "state")), connection="local"
        )
        self.link, self.memory = LocalLink(self.host), folder / "memory" / "wishes.json"
        self.tell(**{"count.web": 2, "count.db": 3, "load.web": 100, "load.db": 0})

    def tell(self, **words: object) -> None:
        for name, word in words.items():
            (self.folder / name).write_text(str(word))

    def writer(self, run: str = "run-1") -> HostWriter:
        project = self.host.project
        return HostWriter(self.link, project.directory, "app", run=run, who="eve@laptop", state_dir=project.state_dir)

    def round(self, at: float, **wanted: object) -> Scaled:
        (made,) = scaler.round_of(self.link, self.writer(), Mask(), wanted or {"web": {}}, self.memory, at)
        return made

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []

    def events(self) -> list[tuple[str, object]]:
        return [(event.kind, event.data.get("to")) for event in self.writer().journal() if event.kind == "scale"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    (tmp_path / "docker" / "bin").mkdir(parents=True)
    program = tmp_path / "docker" / "bin" / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin:/usr/local/bin")
    return Bench(tmp_path)


def test_a_load_brings_replicas_at_once_and_takes_them_away_after_five_quiet_minutes(bench: Bench) -> None:
    bench.tell(**{"load.web": 400})
    assert bench.round(0) == Scaled("web", 2, 6, 200.0)
    assert bench.round(30) == Scaled("web", 6, 6, 66.0)
    bench.tell(**{"load.web": 60})
    seen = [bench.round(60 + 30 * number).after for number in range(12)]
    assert seen == [6] * 9 + [2] * 3
    assert bench.events() == [("scale", 6), ("scale", 2)]
    assert bench.writer().owner() is None


def test_others_keep_their_scale_and_no_container_is_recreated(bench: Bench) -> None:
    bench.tell(**{"load.web": 400})
    bench.round(0)
    tried, made, started = bench.asked
    assert "--dry-run --no-start --scale db=3 -- web" in tried
    assert "--scale web=6 --scale db=3 --no-start -- web" in made
    assert "--scale web=6 -d --no-deps" in started
    assert all("--no-recreate" in line for line in bench.asked)
    assert (bench.folder / "count.db").read_text().strip() == "3"


def test_who_begins_takes_nothing_away_before_the_window_is_over(bench: Bench) -> None:
    bench.tell(**{"count.web": 8, "load.web": 100})
    assert [bench.round(at).after for at in (0, 150, 299)] == [8, 8, 8]
    assert bench.round(310).after == 2


@pytest.mark.parametrize("text", ["", "[", '{"web": 3}', '{"web": [["x"]]}'])
def test_a_memory_that_cannot_be_read_is_as_none(bench: Bench, text: str) -> None:
    bench.memory.parent.mkdir()
    bench.memory.write_text(text)
    assert bench.round(0).after == 2
    assert json.loads(bench.memory.read_text())["web"][-1] == [0, 2]


def test_a_run_that_holds_the_host_goes_first(bench: Bench) -> None:
    other = bench.writer("run-9")
    other.prepare()
    other.lock()
    bench.tell(**{"load.web": 400})
    made = bench.round(0)
    assert (made.before, made.after) == (2, 2)
    assert "run-9" in made.note or "eve@laptop" in made.note
    assert bench.asked == []
    other.release()
    assert bench.round(30).after == 6


def test_what_compose_cannot_do_is_said_in_its_words(bench: Bench) -> None:
    bench.tell(**{"load.web": 400, "broken": ""})
    made = bench.round(0)
    assert (made.failed, made.note) == (True, "no room for that")
    assert bench.writer().owner() is None


def test_what_forbids_replicas_or_cannot_be_measured_stays_as_it_is(bench: Bench) -> None:
    bench.compose.write_text("services:\n  web: {image: web, container_name: one}\n")
    assert "cannot all be called one" in bench.round(0).note
    bench.compose.write_text("services:\n  web: {image: web}\n")
    bench.tell(**{"count.web": 0})
    assert bench.round(0).note == "does not run"
    assert bench.asked == []


def test_a_service_that_is_not_there_and_an_engine_that_is_away_are_one_line(bench: Bench) -> None:
    with pytest.raises(InputError, match=r"there is no service wbe \(did you mean web\?\)"):
        bench.round(0, wbe={})
    bench.tell(away="")
    with pytest.raises(HostFailed, match="does not say what runs"):
        bench.round(0)


def inventory_of(bench: Bench, tmp_path: Path, autoscale: str) -> Path:
    """A folder with the environment `shop`: the bench's host, with this `autoscale`."""
    folder = tmp_path / "inventory"
    folder.mkdir(exist_ok=True)
    project = bench.host.project
    (folder / "shop.yml").write_text(
        f"all:\n  hosts:\n    web-1: {{ansible_connection: local, project_dir: {project.directory}, project_name: app, "
        f"state_dir: {project.state_dir}, autoscale: {autoscale}}}\n"
    )
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_timer_of_the_soaks_makes_rounds_once_scaling_was_started_until_it_is_stopped(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "controller"))
    folder = inventory_of(bench, tmp_path, "{web: {}}")
    bench.tell(**{"load.web": 400})
    assert soaking.tick(Output(as_json=True)) == 0
    assert said(capsys) == {"ticks": []}
    assert scaling.start(Output(as_json=True), "shop", folder=folder) == 0
    assert said(capsys) == {"environment": "shop", "hosts": ["web-1"]}
    assert soaking.tick(Output(as_json=True)) == 0
    (web,) = said(capsys)["scaled"]["shop"]["web-1"]
    assert (web["before"], web["after"]) == (2, 6)
    assert scaling.tick(Output(as_json=True), "shop", folder=folder) == 0
    assert said(capsys)["environments"]["shop"]["web-1"][0]["after"] == 6
    assert scaling.stop(Output(as_json=True), "shop") == 0
    assert said(capsys)["was_started"]
    assert soaking.tick(Output(as_json=True)) == 0
    assert said(capsys) == {"ticks": []}


def test_a_host_on_which_it_could_not_be_done_ends_the_tick_with_5(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "controller"))
    folder = inventory_of(bench, tmp_path, "{web: {}}")
    bench.tell(**{"load.web": 400, "broken": ""})
    assert scaling.tick(Output(), "shop", folder=folder) == 5
    assert "2 -> 6 replica(s) at 200 % of its limit: no room for that" in capsys.readouterr().out


@pytest.mark.parametrize(("autoscale", "words"), [("{}", "no host has a service to scale"), ("{web: {mim: 3}}", "did you mean min")])  # fmt: skip
def test_an_inventory_that_cannot_be_scaled_by_is_one_line(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autoscale: str, words: str
) -> None:
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "controller"))
    folder = inventory_of(bench, tmp_path, autoscale)
    with pytest.raises(InputError, match=words):
        scaling.start(Output(), "shop", folder=folder)
    assert scaling.started() == {}
