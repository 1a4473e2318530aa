"""The live screen of a run: whole at one host, at twenty and at a thousand, in 80 columns and 24 lines, with colour and without."""

import io

import pytest
from rich.console import Console

from checks.model import Gate
from inventory.model import Host, Project
from inventory.secrets import MASKED, Mask
from runbooks import events
from runbooks.output import Output
from runbooks.progress import Progress, grouped
from runbooks.screen_live import Shown
from runbooks.screen_progress import clock, view


def begun(names, groups=None, batches=None):
    """A run over hosts, begun at second 0."""
    mask = Mask()
    mask.add("s3cret-word")
    made = Progress(mask, groups or {})
    made.take(events.RunStarted(run="r-1", kind="migrate", environment="production", who="eve@laptop",
                                batches=batches or (tuple(names),), phase="1"), 0.0)  # fmt: skip
    made.take(events.BatchStarted(number=1, of=len(batches or [0]), hosts=tuple(names)), 0.0)
    return made


def works(made, name, now, ending=None, error=None):
    made.take(events.StepStarted(host=name, steps=("conditions",), number=1, of=2, risk="low"), now)
    if error:
        made.take(events.HostFailed(host=name, error=error), now)
    elif ending:
        made.take(events.FilesWritten(host=name, steps=("conditions",), snapshot="s", paths=("/f",), seconds=0.1), now)
        made.take(events.HostEnded(host=name, ending=ending, seconds=1.0), now)


def drawn(made, now, width=80, height=24):
    text = io.StringIO()
    Console(file=text, width=width, height=height, highlight=False).print(view(made, now, width, height))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_one_host_shows_what_it_does_and_for_how_long_the_run_goes():
    made = begun(["web-1"])
    works(made, "web-1", 3.0)
    made.take(events.ServiceUp(host="web-1", service="db", number=2, of=9, ok=True, seconds=4.0), 40.0)
    assert drawn(made, 65.0) == [
        "migrate phase 1 on production  batch 1 of 1  1:05 gone",
        "[........................]  1 host: 0 done, 1 at work",
        "    web-1  [2/9] db",
    ]


def test_twenty_hosts_are_their_groups_with_failures_first_and_the_time_left():
    names = [f"web-{n:02}" for n in range(12)] + [f"db-{n}" for n in range(8)]
    made = begun(names, grouped((name, (name.split("-")[0], "production")) for name in names))
    for name in names[:8]:
        works(made, name, 10.0, "changed")
    works(made, "web-08", 10.0, error="no answer in 15 s to s3cret-word")
    works(made, "web-09", 10.0)
    made.take(events.GateStarted(steps=("conditions",), hosts=("web-09",), gate=Gate(), probes=12), 11.0)
    made.take(events.GateRound(steps=(), number=1, elapsed_s=4.2, window_s=30.0, ok=11, failed=1, unknown=0), 15.0)
    assert drawn(made, 18.0) == [
        "migrate phase 1 on production  batch 1 of 1  0:18 gone, about 0:22 left",
        "[#########x..............]  20 hosts: 8 done, 1 failed, 1 at work, 10 waiting",
        "  gate: 4 of 30 s, 11 good, 1 failed",
        f"  ✗ web-08  no answer in 15 s to {MASKED}",
        "    web  [########x...]  8 of 12, 1 failed",
        "    db   [............]  0 of 8",
    ]


def test_a_thousand_hosts_in_many_groups_stay_within_the_terminal_with_nothing_cut_but_counted():
    names = [f"rack{n // 25:02}-{n % 25:02}" for n in range(1000)]
    made = begun(names, grouped((name, (name.split("-")[0],)) for name in names))
    for number, name in enumerate(names[:630]):
        works(made, name, 60.0, "changed", error="no route to host" if number % 63 == 0 else None)
    for name in names[630:650]:
        works(made, name, 61.0)
    found = drawn(made, 126.0)
    assert len(found) == 16 and all(len(line) <= 80 for line in found)
    assert found[:2] == [
        "migrate phase 1 on production  batch 1 of 1  2:06 gone, about 1:14 left",
        "[##############x.........]  1000 hosts: 620 done, 10 failed, 20 at work, 350 wa…",
    ]
    assert found[2] == "  ✗ rack00-00  no route to host" and found[8] == "  ✗ and 4 more failed"
    assert "    rack25  [##..........]  5 of 25" in found, "the groups that are worked on are told of"
    assert found[-1] == "    and 34 more groups: 615 of 850"
    assert sum(line.startswith("    rack") for line in found) == 6


def test_a_thousand_hosts_of_one_group_show_those_that_take_longest():
    names = [f"web-{n:04}" for n in range(1000)]
    made = begun(names)
    for number, name in enumerate(names[:50]):
        works(made, name, float(number))
    found = drawn(made, 100.0)
    assert len(found) == 16 and found[2] == "    web-0000  1/2 conditions  for 1:40"


@pytest.mark.parametrize(("width", "height"), [(20, 5), (40, 10), (80, 24), (200, 60)])
def test_it_fits_every_terminal(width, height):
    names = [f"host-with-a-rather-long-name-{n}" for n in range(60)]
    made = begun(names, grouped((name, (f"group-{hash(name) % 9}",)) for name in names))
    for name in names[:30]:
        works(made, name, 1.0, error="that was not to be, for a reason that takes very many words to tell " * 2)
    found = drawn(made, 2.0, width, height)
    assert len(found) <= max(3, height - 6) and all(len(line) <= width for line in found)


def test_a_host_that_is_told_to_have_failed_keeps_its_reason_when_it_ends():
    made = begun(["a", "b"])
    works(made, "a", 1.0, error="disk full")
    made.take(events.HostEnded(host="a", ending="failed", seconds=1.0), 2.0)
    made.take(events.HostEnded(host="b", ending="undone", seconds=1.0), 2.0)
    assert "  ✗ a  disk full" in drawn(made, 3.0) and "  ✗ b  undone" in drawn(made, 3.0)


def test_a_rollback_that_undoes_has_gone_well():
    made = Progress(Mask())
    made.take(
        events.RunStarted(run="r-2", kind="rollback", environment="e", who="eve", batches=(("a",),), phase="r-1"), 0.0
    )
    made.take(events.HostEnded(host="a", ending="undone", seconds=1.0), 2.0)
    assert made.counts()["done"] == 1


def test_a_host_is_folded_into_its_smallest_group_that_has_others_in_it():
    hosts = [
        ("a", ("all", "web", "only_a")),
        ("b", ("all", "web")),
        ("c", ("all", "db")),
        ("d", ("all", "db")),
        ("e", ()),
    ]
    assert grouped(hosts) == {"a": "web", "b": "web", "c": "db", "d": "db", "e": "ungrouped"}


def shown(monkeypatch, *, terminal, colour=True, hosts=3, reading=False):
    """What a run writes to a terminal, or to a pipe."""
    names = [f"web-{n:02}" for n in range(hosts)]
    out, text = Output(), io.StringIO()
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    environment = {"TERM": "xterm-256color"} | ({} if colour else {"NO_COLOR": "1"})
    out.console = Console(
        file=text, width=80, height=24, force_terminal=terminal, _environ=environment, highlight=False
    )
    sink = Shown(out, [Host(name, name, Project("/srv")) for name in names])
    if reading:
        with sink.redrawn(names, "reading production"):
            for name in names:
                sink(
                    events.HostSurveyed(
                        host=name, project="p", services=1, files=("/f",), restarts=(), seconds=1, exchanges=1
                    )
                )
    with sink.redrawn():
        sink(
            events.RunStarted(run="r-1", kind="migrate", environment="e", who="eve", batches=(tuple(names),), phase="1")
        )
        for name in names:
            sink(events.FilesWritten(host=name, steps=("c",), snapshot="s", paths=("/f",), seconds=0.1))
            sink(events.HostEnded(host=name, ending="changed", seconds=1.0))
    return text.getvalue()


def test_on_a_terminal_it_is_redrawn_in_place_and_the_lines_stay(monkeypatch):
    found = shown(monkeypatch, terminal=True)
    assert "\x1b[1A\x1b[2K" in found and "3 hosts: 3 done" in found
    assert (
        "web-02  written in 0.10 s" in found
        and found.rstrip("\x1b[?25h\r\n").count("migrate phase 1 on e: run r-1") == 1
    )


def test_no_colour_means_none_on_a_terminal_too(monkeypatch):
    coloured, plain = shown(monkeypatch, terminal=True), shown(monkeypatch, terminal=True, colour=False)
    assert "\x1b[32m" in coloured and not any(
        f"\x1b[{code}" in plain for code in ("31", "32", "33", "38", "1;31", "1;32")
    )
    assert "[########################]" in plain


def test_where_there_is_no_terminal_it_is_lines_alone(monkeypatch):
    found = shown(monkeypatch, terminal=False, hosts=40, reading=True)
    assert "\x1b" not in found and "######" not in found
    assert "  20 of 40 hosts read, about " in found and "  40 of 40 hosts written" in found


def test_hours_are_told_where_there_are_any():
    assert [clock(5), clock(65), clock(3725)] == ["0:05", "1:05", "1:02:05"]
