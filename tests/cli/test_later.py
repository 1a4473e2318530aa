"""What Invoke seldom needs is loaded when it is needed, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"HOME": str(home)} if home else {})}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_command_starts_without_doubles_for_tests_and_without_a_reader_of_settings():
    done = run("-X", "importtime", "cli/program.py", "--search-root", str(ROOT), "--list")
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.returncode == 0
    assert "invoke.program" in loaded
    assert not loaded & {"unittest.mock", "asyncio", "ssl", "invoke.vendor.yaml", "yaml"}


def test_settings_of_ones_own_are_read_all_the_same(tmp_path):
    (tmp_path / ".invoke.yaml").write_text("tasks: [\n")
    done = run("cli/program.py", "--search-root", str(ROOT), "--list", home=tmp_path)
    assert done.returncode != 0
    assert "while parsing" in done.stderr
    (tmp_path / ".invoke.yaml").write_text("run: {echo: true}\n")
    assert run("cli/program.py", "--search-root", str(ROOT), "--list", home=tmp_path).returncode == 0


def test_a_double_is_one_when_it_is_asked_for():
    program = """
from cli import later
later.stand_in()
import invoke, sys
assert "unittest.mock" not in sys.modules
context = invoke.MockContext(run="said")
assert context.run("anything").stdout == "said"
from unittest.mock import Mock
assert isinstance(context.run, Mock)
"""
    done = run("-c", program)
    assert (done.returncode, done.stderr) == (0, "")
