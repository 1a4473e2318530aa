"""No secret of a stack or an inventory is printed, kept or logged, whatever is asked of the tool and however it fails."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.canaries import COMPOSE, FILES, INVENTORY, leaked, places, plant, planted
from cli.finish import finish
from inventory.errors import HostFailed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FILE = "--phase 1 --file HERE/compose.yml"
FAR = "--env far --inventory HERE"
TYPED = {
    f"plan {FILE}": 2,
    f"plan {FILE} --json": 2,
    f"plan {FILE} --patch": 4,
    f"plan --phase 1 {FAR}": 5,
    f"plan --phase 1 {FAR} --json": 5,
    f"plan --phase 1 {FAR} --out HERE/kept.json": 5,
    f"migrate --phase 1 {FAR} --yes": 5,
    f"migrate --phase 1 {FAR} --yes --json": 5,
    f"migrate --phase 1 {FAR} --check --diff": 5,
    f"rollback {FAR} --yes": 5,
    f"rollback {FAR} --yes --json": 5,
    f"status {FAR}": 5,
    f"status {FAR} --json": 5,
    f"history {FAR} --json": 5,
    f"health {FAR} --json": 5,
    f"unlock {FAR} --yes --json": 5,
    f"snapshots.list {FAR} --json": 5,
    f"snapshots.prune {FAR} --yes --json": 5,
    f"inventory.list {FAR}": 0,
    f"inventory.graph {FAR}": 0,
    f"inventory.ping {FAR} --json": 5,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("planted")
    plant(made)
    return made


@pytest.fixture(scope="module")
def ran(folder):
    """Each task, as an operator types it: exit code, what it said, and every file that it left behind."""

    def one(number, typed):
        state = folder / f"state-{number}"
        words = [
            sys.executable,
            "-m",
            "invoke",
            "--search-root",
            str(ROOT),
            *typed.replace("HERE", str(folder)).split(),
        ]
        environment = {**os.environ, "RUNBOOK_STATE": str(state), "XDG_STATE_HOME": str(state), "HOME": str(state)}
        environment.pop("RUNBOOK_TRACEBACK", None)
        environment.pop("RUNBOOK_STORE", None)
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=120)
        left = {path.relative_to(state): path for path in state.rglob("*") if path.is_file()}
        return done, left

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(TYPED, pool.map(one, range(len(TYPED)), TYPED), strict=True))


def test_there_is_a_secret_in_every_place_that_could_hold_one(folder):
    found = leaked(*(path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".json"))
    assert {secret.removeprefix("c4n4ry-").removesuffix("-0x") for secret in found} == places(
        *FILES.values(), INVENTORY
    )
    assert len(found) >= 35


@pytest.mark.parametrize("typed", TYPED)
def test_a_task_shows_and_keeps_no_secret(ran, typed):
    done, left = ran[typed]
    assert done.returncode == TYPED[typed], done.stderr
    assert leaked(done.stdout, done.stderr) == set()
    for name, path in left.items():
        assert leaked(path.read_bytes()) == set(), name
        assert path.stat().st_mode & 0o077 == 0, name


def test_a_plan_shows_the_lines_around_its_changes_so_that_the_search_means_something(ran):
    done, _ = ran[f"plan {FILE}"]
    for shown in (b"DATABASE_URL", b"depends_on", b"********"):
        assert shown in done.stdout


BROKEN = {
    "an unclosed quote": lambda text: text.replace('"c4n4ry', '"c4n4ry', 1) + '\n  bad: "c4n4ry-open-quote-0x\n',
    "a tab": lambda text: text + "\n\tpassword: c4n4ry-tab-0x\n",
    "a key twice": lambda text: text + "\nservices:\n  web: {environment: {PASSWORD: c4n4ry-twice-0x}}\n",
    "an alias to nothing": lambda text: text + "\nx-a: *c4n4ry-alias-0x\n".replace("c4n4ry-alias-0x", "none"),
    "a service that is text": lambda text: text.replace("  cache:\n", "  other: password=c4n4ry-text-0x\n  cache:\n"),
    "a template that does not end": lambda text: text.replace("${SESSION_SECRET:-", "${SESSION SECRET:-"),
    "no UTF-8": lambda text: text.replace("old", "\udcff"),
    "a condition that is none": lambda text: text.replace("service_started", "password=c4n4ry-condition-0x", 1),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_error_about_a_file_does_not_quote_its_secrets(tmp_path, case, capfdbinary):
    from runbooks.commands import planning
    from runbooks.commands.choice import Choice

    for name, text in FILES.items():
        (tmp_path / name).write_text(planted(text))
    text = BROKEN[case](planted(COMPOSE))
    (tmp_path / "compose.yml").write_bytes(text.encode("utf-8", "surrogateescape"))
    choice = Choice("1", "", None, None, (), ())
    with pytest.raises(SystemExit) as end:
        finish(lambda out: planning.plan(out, choice, files=[str(tmp_path / "compose.yml")]))
    assert end.value.code in (1, 2, 4)
    assert leaked(*capfdbinary.readouterr()) == set()


def test_a_bug_is_one_line_without_the_secrets_that_are_known(capfdbinary, monkeypatch):
    monkeypatch.delenv("RUNBOOK_TRACEBACK", raising=False)

    def work(out):
        out.mask.add("c4n4ry-bug-0x")
        raise ZeroDivisionError("it was c4n4ry-bug-0x")

    with pytest.raises(SystemExit):
        finish(work)
    said = b"".join(capfdbinary.readouterr())
    assert b"this is a bug: ZeroDivisionError" in said
    assert b"Traceback" not in said
    assert leaked(said) == set()


def test_what_a_host_answers_is_masked_in_errors_too(capfdbinary):
    def work(out):
        out.mask.add("c4n4ry-answer-0x")
        raise HostFailed("it said postgres://eve:c4n4ry-url-0x@db/x and c4n4ry-answer-0x", host="web-1")

    with pytest.raises(SystemExit) as end:
        finish(work)
    assert end.value.code == 5
    assert leaked(*capfdbinary.readouterr()) == set()
