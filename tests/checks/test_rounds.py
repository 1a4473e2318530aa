"""A round of probes with real programs over a local link: all at once, in one exchange, each knowing which is which."""

import os
import stat
import threading

import pytest

from checks import probes
from checks.model import Probe
from checks.probes import round_
from inventory.connection import LocalLink
from inventory.errors import HostFailed, Unreachable
from tests.checks.judging import HOST


def on_host(*words, name="c", timeout_s=5.0):
    return Probe("command", name, "s", {"command": list(words), "on_host": True}, timeout_s)


def test_a_round_runs_all_programs_at_once_in_one_exchange_and_knows_which_is_which():
    link = LocalLink(HOST)
    probes = [
        on_host("echo", 'it\'s $(x) "y"\\n', name="quoted"),
        on_host("sh", "-c", "[ \"$1\" = '' ] && [ \"$2\" = '\n' ] && echo same", "-", "", "\n", name="odd words"),
        on_host("sh", "-c", "echo no >&2; exit 3", name="bad"),
        on_host("/nonexistent/program", name="absent"),
        on_host("sleep", "5", name="slow", timeout_s=0.2),
        on_host("head", "-c", "100000", "/dev/zero", name="long"),
    ]
    found = {sample.probe: sample for sample in round_(link, probes, "shop")}
    assert link.exchanges == 1
    assert {name: sample.ok for name, sample in found.items()} == {
        "quoted": True, "odd words": True, "bad": False, "absent": False, "slow": False, "long": True,
    }  # fmt: skip
    assert found["bad"].detail == "no"
    assert found["slow"].detail.startswith("no answer in 0.")
    assert found["slow"].latency_s < 4
    assert {sample.host for sample in found.values()} == {"here"}


def test_probes_that_ask_the_same_are_asked_once(tmp_path):
    count = tmp_path / "count"
    words = ("sh", "-c", f"echo x >>'{count}'")
    samples = round_(LocalLink(HOST), [on_host(*words, name=name) for name in "abc"], "shop")
    assert [sample.ok for sample in samples] == [True, True, True]
    assert count.read_text() == "x\n"


def test_a_round_without_probes_asks_nobody():
    link = LocalLink(HOST)
    assert round_(link, [], "shop") == []
    assert link.exchanges == 0


@pytest.mark.parametrize("error", [Unreachable("the link was lost"), HostFailed("a program took longer than 3 s")])
def test_a_link_that_is_cut_off_makes_samples_unknown_not_bad(error):
    class Cut(LocalLink):
        def run(self, *_words, **_more):
            raise error

    samples = round_(Cut(HOST), [on_host("true"), Probe("container", "x", "s")], "shop")
    assert [(sample.ok, sample.detail) for sample in samples] == [(None, error.message)] * 2


def test_an_answer_that_is_cut_off_leaves_the_rest_unknown():
    class Half(LocalLink):
        def run(self, *words, **more):
            reply = super().run(*words, **more)
            lines = sorted(reply.out.splitlines(keepends=True))
            return type(reply)(0, lines[0] + b"1 0 12 bm90IGJhc2U2NA=\nnonsense\n", b"", 0.1)

    samples = round_(Half(HOST), [on_host("true", name="a"), on_host("sh", "-c", ":", name="b")], "shop")
    assert [(sample.ok, sample.detail) for sample in samples] == [(True, ""), (None, "no answer")]


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A `docker` on PATH that answers `ps` with ids from a file and does the rest by its own words."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        f"""#!/bin/sh
        echo "$*" >>'{tmp_path}/asked'
        case $1 in
            ps) cat '{tmp_path}/ids' || exit 1 ;;
            inspect) cat '{tmp_path}/states' ;;
            exec) shift 2; exec "$@" ;;
        esac
        """
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path


def test_a_probe_goes_into_the_first_running_container_of_its_service(docker):
    (docker / "ids").write_text("webs other\nweb first\nweb second\n")
    probes = [Probe("command", name, "web", {"command": ["echo", "a  b", name]}) for name in "cd"]
    samples = round_(LocalLink(HOST), probes, "shop")
    assert [sample.ok for sample in samples] == [True, True]
    looked_up, *asked = (docker / "asked").read_text().splitlines()
    assert looked_up.startswith("ps --filter label=com.docker.compose.project=shop ")
    assert sorted(asked) == ["exec first echo a  b c", "exec first echo a  b d"]


def test_who_does_not_answer_in_time_is_asked_once_more(tmp_path):
    mark = tmp_path / "asked"
    slow_once = on_host("sh", "-c", f"[ -e '{mark}' ] || {{ touch '{mark}'; sleep 30; }}", timeout_s=0.5)
    (sample,) = round_(LocalLink(HOST), [slow_once], "shop")
    assert (sample.ok, sample.detail) == (True, "")


def test_a_service_without_a_container_is_unwell_and_an_engine_that_is_away_is_unknown(docker):
    (docker / "ids").write_text("")
    probes = [Probe("command", "c", "web", {"command": "true"}), Probe("container", "state", "web")]
    samples = round_(LocalLink(HOST), probes, "shop")
    assert [(sample.ok, sample.detail) for sample in samples] == [
        (False, "web: no running container"),
        (False, "no container"),
    ]
    (docker / "ids").unlink()
    assert [sample.ok for sample in round_(LocalLink(HOST), probes, "shop")] == [None, None]


def test_a_round_that_asks_the_host_alone_makes_no_thread_for_it(monkeypatch):
    asking = []
    ask_host = probes._ask_host
    monkeypatch.setattr(probes, "_ask_host", lambda *given: asking.append(threading.get_ident()) or ask_host(*given))
    assert [each.ok for each in round_(LocalLink(HOST), [on_host("true")], "shop")] == [True]
    assert asking == [threading.get_ident()]
