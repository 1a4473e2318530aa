"""What the program answers, and leaves, when any one of its calls fails: a table of all of them, call by call.

That whatever fails no file is lost is what the proof shows. This pins what an operator is told then, and that a call whose failure
should stop the program does stop it, there. The table stands in `failures/`; who changes the program looks at what differs
and writes it anew: RUNBOOK_EFFECTS=new.
"""

import os
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from inventory.errors import RunbookError
from lab.proof import strikes
from lab.proof.bed import Bed
from tests.rollback.test_effects import plain

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.getuid() != 0, reason="who is not root makes other calls")]

KEPT = Path(__file__).parent / "failures"
OPERATIONS = {operation.name: operation for operation in strikes.OPERATIONS}
AT_ONCE = 10
"""Calls in one test."""
NEW = os.environ.get("RUNBOOK_EFFECTS") == "new"


def kept(name):
    path = KEPT / f"{name.replace(' ', '-')}.txt"
    return dict(line.split("\t") for line in path.read_text().splitlines()) if path.exists() else {}


def cases():
    for name in OPERATIONS:
        for part in range(1 if NEW else max(1, len(kept(name)) // AT_ONCE)):
            yield pytest.param(name, part, id=f"{name} {part}")


@pytest.fixture
def ready(tmp_path):
    @cache
    def made(name):
        bed, operation = Bed(tmp_path / "bed"), OPERATIONS[name]
        bed.make()
        operation.ready(bed)
        bed.keep()
        bed.again()
        return bed, operation, strikes.measured(bed, operation)

    return made


def named(calls, bed):
    """Number from 1 and words of the first and the last call of each kind: what differs between two is which file it is about."""
    kinds = {}
    beside: set[int] = set()
    for at, pair in enumerate(pairwise(calls), 1):
        if at - 1 not in beside and piped(*pair):  # what ends one pipe does not begin another
            beside.add(at)
    for at, call in enumerate(calls, 1):
        if {at, at - 1} & beside:
            continue  # the ends of a pipe begin in any order
        words = told(call, bed)
        kind = re.sub(r"PROJECT/\S+|SUM-\w+|line\.N", "*", words)
        kinds[kind] = (kinds.get(kind) or [(at, f"first {words}")])[:1] + [(at, f"last {words}")]
    found = {at: words for both in kinds.values() for at, words in reversed(both)}
    return sorted(found.items())


def piped(*calls):
    """Whether two calls that follow each other are the two ends of a pipe."""
    ends = {
        " ".join(call.split()[:2]) if call.startswith(("head", "tail", "wc")) else call.split()[0] for call in calls
    }
    if "readlink" in ends:
        return "sha256sum" in ends and not any(" -f " in call or call.endswith(".lock") for call in calls)
    return ends in ({"tail -c", "head -c"}, {"head -n", "wc -c"}, {"head -n", "wc -lc"})


def told(text, bed):
    text = plain(text.replace("\t", " ").replace("\n", " "), bed)
    text = re.sub(r"(?<=commands/-)[0-9]+", "N", text)
    text = re.sub(
        r"(?<=head -c )[0-9]+|(?<=tail -c [+])[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:+]+|[0-9]{7,}", "N", text
    )
    return re.sub(r"(?<=ended with )([0-9]+):.*", r"\1", text)  # a shell's own words differ from version to version


def left(bed):
    """What stands afterwards, in a few words."""
    found = [f"files {bed.stands()}"]
    found += ["beside " + ",".join(sorted(name for name in map(str, bed.files()) if ".compose-runbook." in name))]
    found += ["locked" if (bed.project / ".compose-runbook.lock").is_symlink() else "free"]
    for path in sorted(bed.state.rglob("*")) if bed.state.exists() else ():
        if path.is_file():
            name = str(path.relative_to(bed.state))
            lines = f":{path.read_bytes().count(10)}" if name in ("journal", "folders") else ""
            found.append(told(name, bed) + lines)
    return " ".join(filter(lambda word: word != "beside ", found))


def answer(bed, operation, at):
    bed.again()
    try:
        operation.work(strikes.struck(bed, operation.run, "fail", at), bed)
        said = "done"
    except RunbookError as error:
        said = f"{type(error).__name__}: {error}"
    return f"{told(said, bed)} | {left(bed)}"


@pytest.mark.parametrize(("name", "part"), list(cases()))
def test_what_is_told_and_left_when_a_call_fails_is_what_was_looked_at(ready, name, part):
    bed, operation, calls = ready(name)
    expected = kept(name)
    parts = 1 if NEW else max(1, len(expected) // AT_ONCE)
    found = {call: answer(bed, operation, at) for at, call in list(named(calls, bed))[part::parts]}
    if NEW:
        KEPT.mkdir(exist_ok=True)
        lines = "".join(f"{call}\t{words}\n" for call, words in found.items())
        (KEPT / f"{name.replace(' ', '-')}.txt").write_text(lines)
        expected = kept(name)
    assert found == {call: expected.get(call, "") for call in found}
    if part == 0:
        assert [call for _, call in named(calls, bed)] == list(expected), "the program makes other calls"
