"""A proof that is stopped before its end shows what it has struck until then, and says that it is not all."""

import json
import os
import signal
from importlib import import_module

import pytest

from inventory.errors import HostFailed, InputError
from lab.proof import prove, strikes
from lab.proof.shell import ShellLink
from lab.proof.table import Effort
from runbooks.output import Output

QUICK = ("lock", "heartbeat", "release")


@pytest.fixture
def few(monkeypatch):
    """A proof of three short operations."""
    monkeypatch.setattr(strikes, "OPERATIONS", tuple(each for each in strikes.OPERATIONS if each.name in QUICK))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_proof_shows_what_it_struck_and_that_it_is_not_all(few, number, monkeypatch, capsys):
    plain, struck = strikes.strike, []

    def then_stop(bed, case, **more):
        struck.append(case)
        outcome = plain(bed, case, **more)
        if len(struck) == 4:
            os.kill(os.getpid(), number)
        return outcome

    monkeypatch.setattr(strikes, "strike", then_stop)
    code = prove.proof(Output(as_json=True), parts=["calls", "secrets"], shells=["dash"], workers=1)
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert code == 130
    assert found["well"]
    assert found["stopped"]
    (part,) = found["parts"]
    assert part["cases"] == sum(row[2] for row in part["rows"])
    assert 4 <= part["cases"] <= 6
    (short,) = part["skipped"]
    assert short.startswith(f"stopped after {part['cases']} of ")
    assert short in said.err
    assert f"{part['cases']} faults injected, {part['cases']} hosts whole" in said.err


@pytest.mark.parametrize(("given", "key"), [({"parts": ["call"]}, "--only"), ({"shells": ["zsh"]}, "--shell")])
def test_a_part_or_a_shell_that_the_proof_does_not_know_is_refused_before_anything_is_struck(given, key):
    with pytest.raises(InputError, match="write one of") as refused:
        prove.proof(Output(), **given)
    assert refused.value.key == key


@pytest.mark.parametrize("name", ["power", "worlds"])
def test_a_part_that_is_stopped_before_its_first_case_says_so_instead_of_that_all_is_well(name):
    effort = Effort()
    effort.stop.set()
    part = import_module(prove.PARTS[name]).prove(effort)
    assert part.cases == 0
    assert part.skipped


def test_a_program_that_takes_too_long_is_a_failure_of_its_host_and_does_not_end_the_proof(tmp_path):
    link = ShellLink(tmp_path)
    with pytest.raises(HostFailed, match=r"took more than 0\.2 s"):
        link.run("sleep 60", timeout_s=0.2)
