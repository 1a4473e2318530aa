"""A command line as an operator types it, read by Invoke in this process: what a program of its own costs is not wanted twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from invoke.main import Program

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Typed:
    """How a command line ended, and what it wrote."""

    code: int
    out: str
    err: str


def typed(capfd: pytest.CaptureFixture[str], *words: str) -> Typed:
    """Runs one command line to its end. Its environment is this process's."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        Program(name="Invoke", binary="inv[oke]").run(["inv", "--search-root", str(ROOT), *words])
    found = capfd.readouterr()
    return Typed(int(ended.value.code or 0), found.out, found.err)
