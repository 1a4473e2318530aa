"""Each reader of what others wrote is given bad input: in the fast run by chance, in the full run guided by coverage."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fuzz_targets import TARGETS, attempt
from benchmarks.fuzzing import mutated

ROOT = Path(__file__).resolve().parents[2]
CASES = min(800, int(os.environ.get("RUNBOOK_EXAMPLES", "40")))
FOUND = {
    "a snapshot whose mode is without end": ("snapshots", b'{"id": "s", "run": "r", "step": "s", "at": "", "project_dir": "/", "before": [{"path": "x", "sha256": null, "mode": 1e999, "uid": 0, "gid": 0}], "after": [], "images": {}, "note": {}}'),
    "a read that says nothing of what was asked for": ("writer", b"\x00"),
    "numbers of 5000 digits": ("records", b"part x 0 " + b"9" * 5000 + b"\n"),
    "a frame whose number is no number": ("probes", b"\x009" + b"9" * 5000 + b" 0 0 eA==\n"),
    "a count in superscript": ("probes", "\x00\u00b2\n".encode()),
    "a clock in superscript": ("writer", "\x00clock \u00b2\nfree 1\n".encode()),
    "a survey without Compose's model": ("docker", b'{"Version": "26.1"}\x002.26.1\x00{}'),
    "containers that are none": ("docker", b'{"Version": "26.1"}\x002.26.1\x00{}\x00{"name": "shop"}\x00[1]'),
    "a version of many digits": ("docker", b'{"Version": "' + b"9" * 5000 + b'"}'),
    "a state that is a list": ("symptoms", b"service web\nstate []\n"),
    "a model that is a list": ("trials", b"[]\x00[]\x00"),
    "nesting without end": ("journal", b'{"data":' + b"[" * 100_000 + b"\n"),
    "a plan nested without end": ("kept_plan", b"[" * 100_000),
}  # fmt: skip
"""What fuzzing broke once: an input each."""


@pytest.mark.parametrize("case", FOUND)
def test_what_once_broke_a_reader_is_refused_or_taken(case):
    name, data = FOUND[case]
    attempt({target.name: target for target in TARGETS}[name], data)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_good_input_is_taken(target):
    assert any(attempt(target, seed) for seed in target.seeds)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_bad_input_is_refused_in_one_line_and_breaks_no_reader(target):
    chance = random.Random(CASES)
    for _ in range(CASES):
        data = mutated(target, chance)
        try:
            attempt(target, data)
        except Exception as error:
            raise AssertionError(f"{target.name} broke on {data!r}") from error


@pytest.mark.slow
def test_readers_stand_a_coverage_guided_fuzzer(tmp_path):
    """Left to the full run: the fuzzer's environment is installed from the network."""
    words = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "fuzz", "--seconds", "75", "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["broken"] == 0
    assert {each["target"] for each in found["targets"]} == {target.name for target in TARGETS}
    assert all(each["cases"] > 0 for each in found["targets"])
