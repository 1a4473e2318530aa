"""The command line as an operator types it: whatever is typed, one clear line and the documented exit code, no traceback."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "examples/reconciliation/docker-compose.yml"
COMPOSE = "services:\n  web:\n    image: nginx:1.27\n    depends_on: [db]\n  db:\n    image: postgres:15\n"
NOBODY = (
    "all:\n  hosts:\n    far-1:\n      ansible_host: 127.0.0.1\n      ansible_port: 1\n      project_dir: /srv/shop\n"
)
FROZEN = (
    "all:\n  vars:\n    ansible_connection: local\n    project_dir: /srv/shop\n"
    "    freezes: [{from: 2000-01-01, to: 9988-12-31, reason: stock-taking}]\n  hosts:\n    shop-1:\n    shop-2:\n"
)
HOOKED = "all:\n  hosts:\n    shop-1:\n      ansible_connection: local\n      project_dir: /srv\n      hooks: {before: [{run: a, timout: 1s}]}\n"
# words, exit code, what the one line on standard error says
BAD = {
    "an unknown environment": ("plan --phase 1 --env nope", 1, "no environment nope (there are: "),
    "an unknown phase": ("plan --phase 9 --env staging", 1, "--phase: no phase 9"),
    "an unknown step": ("plan --phase 1 --env staging --step nope", 1, "--step: phase_1.yml has no 'nope' (there are: "),
    "steps that name none": ("plan --phase 1 --env staging --step ,,", 1, "--step: phase_1.yml has no ',,' (there are: "),
    "no phase": ("plan --env staging", 1, "--phase: names no phase (add --phase 1)"),
    "neither environment nor file": ("plan --phase 1", 1, "--env, --file: names neither or both"),
    "environment and file": (f"plan --phase 1 --env staging --file {EXAMPLE}", 1, "--env, --file: names neither or both"),
    "a file that is not there": ("plan --phase 1 --file TMP/none.yml", 1, "none.yml: there is no such file"),
    "a file that cannot be read": ("plan --phase 1 --file TMP/compose.yml --file TMP", 1, "cannot be read: Is a directory"),
    "a file that is no YAML": ("plan --phase 1 --file TMP/broken.yml", 1, "broken.yml:3: is not YAML"),
    "a plan kept of files": ("plan --phase 1 --file TMP/compose.yml --out TMP/p", 1, "--out: keeps plans of hosts only"),
    "a plan file that is none": ("migrate --plan TMP/compose.yml --yes", 1, "--plan: is no plan (make it with ./inv plan --out)"),
    "a plan file that is a list": ("migrate --plan TMP/list.json --yes", 1, "--plan: is no plan"),
    "a plan file of another version": ("migrate --plan TMP/old.json --yes", 1, "--plan: is a plan of another version"),
    "a plan file that cannot be read": ("migrate --plan TMP --yes", 1, "--plan: cannot be read: Is a directory"),
    "a migration of nothing": ("migrate --phase 1 --yes", 1, "--env: names no environment (add --env staging)"),
    "a risk that is none": ("migrate --phase 1 --env staging --accept-risk huge", 1, "--accept-risk: 'huge' is no risk"),
    "a batch size that is none": ("migrate --phase 1 --env staging --serial 0", 1, "serial: '0' is not a batch size"),
    "nothing to resume": ("migrate --env far --inventory TMP --resume", 1, "--resume: the last run on far is not unfinished"),
    "a count that is no number": ("history --env staging --count many", 1, "--count: 'many' is not a whole number"),
    "fewer than none to keep": ("snapshots.prune --env staging --keep -1", 1, "--keep: cannot be below 0"),
    "no cold start at all": ("demo --colds 0", 1, "--colds: cannot be below 1"),
    "a scale that is none": ("demo --scale nan", 1, "--scale: 'nan' is not a number"),
    "stand-ins that need no time": ("demo --scale 0", 1, "--scale: cannot be below 0.1"),
    "a demo of no phase": ("demo --phase 9", 1, "--phase: there is no demo of phase 9 (name 1, 2 or 3)"),
    "two demos": ("demo --all --phase 2", 1, "--all, --phase: are two demos (name one of them)"),
    "a picture nowhere": ("demo --picture TMP/none/demo.svg", 1, "--picture: cannot be written"),
    "no run to undo": ("rollback --yes", 1, "there is no run to undo"),
    "two things to undo": ("rollback --run a --to b", 1, "--run, --to: are two ways to say the same"),
    "an unknown run": ("rollback --run a --yes", 1, "--run: this controller knows no run a"),
    "an inventory with a typing error": ("plan --phase 1 --env typo --inventory TMP", 1, "typo.yml:4: project_dri: "),
    "a limit that fits no host": ("plan --phase 1 --env far --inventory TMP --limit nobody", 1, "nobody"),
    "an option that is none": ("plan --phas 1", 1, "--phas: plan has no such option (did you mean --phase?)"),
    "an option that is like none": ("status --env staging --yes", 1, "--yes: status has no such option (see ./inv --help status)"),
    "an option without its value": ("plan --phase", 1, "--phase: needs a value (see ./inv --help plan)"),
    "a task that is none": ("sttus --env staging", 1, "there is no task 'sttus' (did you mean status?)"),
    "help for a task that is none": ("--help snapshot.list", 1, "there is no task 'snapshot.list' (did you mean snapshots.list?)"),
    "a word that belongs nowhere": ("plan 1", 1, "'1' is neither an option of plan nor a task (options begin with --: see ./inv --help plan)"),
    "two tasks": ("status --env far --inventory TMP plan --phase 1", 1, "status and plan are 2 tasks (give one at a time)"),
    "no environment": ("status", 1, "--env: names no environment (add --env staging)"),
    "no service to resolve": ("discovery.resolve --env staging", 1, "SERVICE: discovery.resolve needs one (write ./inv discovery.resolve SERVICE"),
    "two forms of a plan": ("plan --phase 1 --file TMP/compose.yml --patch --json", 1, "--json, --patch: are two forms of one output"),
    "two forms of a run's events": ("migrate --phase 1 --env far --inventory TMP --json --json-lines", 1, "--json, --json-lines: are two forms of one output"),
    "a limit of files": ("plan --phase 1 --file TMP/compose.yml --limit web", 1, "--limit: speaks of hosts, and with --file there are none"),
    "an inventory that is no folder": ("status --env far --inventory TMP/far.yml", 1, "far.yml: --inventory: is not a folder"),
    "a port that is none": ("inventory.adopt root@127.0.0.1:99999", 1, "HOST: 99999 is not a port (write 1 to 65535)"),
    "a timer for an environment that is not there": ("soak.schedule --print --env stagin", 1, "no environment stagin (did you mean staging?)"),
    "a picture of a benchmark nowhere": ("bench --picture TMP/none/bench.svg", 1, "--picture: cannot be written"),
    "a lock on hosts that do not answer": ("unlock --env far --inventory TMP --yes", 5, "far-1: "),
    "snapshots of hosts that do not answer": ("snapshots.prune --env far --inventory TMP --yes", 5, "far-1: "),
    "mutants that are no number": ("mutate --sample few", 1, "--sample: 'few' is not a whole number"),
    "a host that does not answer": ("plan --phase 1 --env far --inventory TMP", 5, "far-1: "),
    "a migration in a freeze": ("migrate --phase 1 --env frozen --inventory TMP --yes", 4,
                                "shop-1, shop-2: it is frozen (stock-taking): the next time is Sun 9989-01-01 00:00 UTC (wait, or add --override"),
    "a hook with a typing error": ("plan --phase 1 --env hooked --inventory TMP", 1, "hooked.yml:6: hooks.before.1.timout: unknown key"),
    "a patch of a phase whose requirement does not stand": ("plan --phase 2 --file TMP/compose.yml --patch", 4, "--patch: phase 2 requires phase 1 (Critical fixes), which would still change 3 things here: carry that out first"),
    "a patch with a secret": ("plan --phase 1 --file TMP/secret.yml --patch", 4, "the patch would carry a secret"),
}  # fmt: skip
GOOD = {
    "a plan of a file": ("plan --phase 1 --file TMP/compose.yml --json", 2),
    "a plan of standard input": ("plan --phase 1 --file - --json", 2),
    "a plan of hosts that do not answer": ("plan --phase 1 --env far --inventory TMP --json", 5),
    "the state of hosts that do not answer": ("status --env far --inventory TMP --json", 5),
    "a migration of hosts that do not answer": ("migrate --phase 1 --env far --inventory TMP --yes --json", 5),
    "an inventory": ("inventory.list --env far --inventory TMP", 0),
}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Every command line of the tables, run once, a few at a time."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "compose.yml").write_text(COMPOSE)
    (folder / "secret.yml").write_text(
        COMPOSE.replace("  db:", "    environment:\n      URL: postgres://a:hunter22@db/x\n  db:")
    )
    (folder / "broken.yml").write_text("services:\n  web: [\n")
    (folder / "list.json").write_text("[]")
    (folder / "old.json").write_text('{"format": 0, "choice": {}, "plan": {"fingerprint": "x"}}')
    (folder / "far.yml").write_text(NOBODY)
    (folder / "frozen.yml").write_text(FROZEN)
    (folder / "hooked.yml").write_text(HOOKED)
    (folder / "typo.yml").write_text("all:\n  hosts:\n    a:\n      project_dri: /srv/shop\n")

    def one(number, typed):
        own = str(folder / f"state-{number}")
        words = [
            sys.executable,
            str(ROOT / "cli/program.py"),
            "--search-root",
            str(ROOT),
            *typed.replace("TMP", str(folder)).split(),
        ]
        environment = {**os.environ, "RUNBOOK_STATE": own, "XDG_STATE_HOME": own, "COLUMNS": "80"}
        environment.pop("RUNBOOK_STORE", None)
        environment.pop("RUNBOOK_TRACEBACK", None)
        done = subprocess.run(
            words, cwd=ROOT, env=environment, input=COMPOSE, capture_output=True, text=True, check=False, timeout=120
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    typed = list(dict.fromkeys([words for words, *_ in (*BAD.values(), *GOOD.values())]))
    with ThreadPoolExecutor(3) as pool:
        return dict(zip(typed, pool.map(one, range(len(typed)), typed), strict=True))


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_done_is_one_line_with_its_exit_code(ran, case):
    typed, code, words = BAD[case]
    found = ran[typed]
    assert found.code == code, found.err
    lines = found.err.splitlines()
    assert len([line for line in lines if line.strip()]) == 1, found.err
    assert words in found.err
    assert "Traceback" not in found.err + found.out
    assert "this is a bug" not in found.err
    assert "hunter22" not in found.err + found.out


@pytest.mark.parametrize("case", ["a lock on hosts that do not answer", "snapshots of hosts that do not answer"])
def test_nothing_is_said_of_hosts_that_were_not_asked(ran, case):
    assert ran[BAD[case][0]].out == ""


@pytest.mark.parametrize("case", GOOD)
def test_standard_output_is_one_document_and_nothing_else(ran, case):
    typed, code = GOOD[case]
    found = ran[typed]
    assert found.code == code, found.err
    assert isinstance(json.loads(found.out), (dict, list))
    assert "Traceback" not in found.err


def test_a_list_whose_reader_has_gone_ends_without_a_word():
    words = [sys.executable, str(ROOT / "cli/program.py"), "--search-root", str(ROOT), "--list"]
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as gone:
        done = subprocess.run(words, cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_plan_of_a_file_and_of_standard_input_say_the_same_of_its_services(ran):
    plans = [json.loads(ran[GOOD[case][0]].out) for case in ("a plan of a file", "a plan of standard input")]
    changes = [
        [(change["service"], change["what"], change["after"], change["proof"]) for step in plan["hosts"][0]["steps"] for change in step["changes"]]
        for plan in plans
    ]  # fmt: skip
    assert changes[0] == changes[1]
    assert ("web", "condition") in [change[:2] for change in changes[0]]
    assert {proof for *_, proof in changes[0]} == {"unproven"}


def test_a_migration_that_reached_no_host_says_how_it_left_each(ran):
    found = json.loads(ran[GOOD["a migration of hosts that do not answer"][0]].out)
    assert (found["outcome"], found["code"], found["hosts"]) == ("failed", 5, {"far-1": "failed"})
