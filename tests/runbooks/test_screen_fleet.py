"""A run on many hosts reads as a few lines: what goes well counts, what fails is told; a program may follow line by line."""

import io
import json

import pytest
from rich.console import Console

from inventory.secrets import MASKED, Mask
from runbooks import events
from runbooks.screen_run import JsonLines, RunScreen


def a_run(count, failing=()):
    names = tuple(f"web-{number:04}" for number in range(count))
    yield events.RunStarted(run="r-1", kind="migrate", environment="e", who="eve@laptop", batches=(names,), phase="1")
    yield events.BatchStarted(number=1, of=1, hosts=names)
    for name in names:
        yield events.StepStarted(
            host=name, steps=("conditions",), number=1, of=1, risk="low", files=("/srv/f",), services=(), expected_s=0
        )
        if name in failing:
            yield events.HostFailed(host=name, error="no answer to s3cret-word", mend="", code=5)
            continue
        yield events.FilesWritten(host=name, steps=("conditions",), snapshot="r-1-1", paths=("/srv/f",), seconds=0.1)
    for name in names:
        yield events.HostEnded(host=name, ending="failed" if name in failing else "changed", seconds=1)


def lines(count, failing=()):
    mask, text = Mask(), io.StringIO()
    mask.add("s3cret-word")
    screen = RunScreen(Console(file=text, width=200), mask)
    for event in a_run(count, failing):
        screen(event)
    return text.getvalue().splitlines()


def test_a_thousand_hosts_are_a_screenful_with_each_failure_by_name_and_the_time_left():
    found = lines(1000, ("web-0007", "web-0500"))
    assert len(found) < 25
    assert f"  web-0007  no answer to {MASKED}" in found and f"  web-0500  no answer to {MASKED}" in found
    assert any("500 of 1000 hosts written, 2 failed, about " in line and line.endswith(" s left") for line in found)


def test_each_of_a_few_hosts_is_told_of():
    found = lines(3)
    assert [line for line in found if line.startswith("  web-0002")] == [
        "  web-0002  1/1 conditions: 1 file(s)", "  web-0002  written in 0.10 s, snapshot r-1-1", "  web-0002  changed (1 s)",
    ]  # fmt: skip
    assert not any("hosts written" in line for line in found)


@pytest.mark.parametrize("count", [2, 40])
def test_every_event_is_a_masked_line_of_json_however_many_hosts_there_are(count):
    mask, text = Mask(), io.StringIO()
    mask.add("s3cret-word")
    follow = JsonLines(text.write, mask)
    for event in a_run(count, ("web-0001",)):
        follow(event)
    found = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [each["event"] for each in found[:2]] == ["run_started", "batch_started"]
    assert sum(each["event"] == "host_ended" for each in found) == count
    assert "s3cret-word" not in text.getvalue()
