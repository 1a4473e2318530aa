"""Help wherever it is asked for: before a task or behind it, also where the task needs a word that is not there yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.reading import CommandLine

ROOT = Path(__file__).resolve().parents[2]


def ended(*words: str) -> int:
    with pytest.raises(SystemExit) as found:
        CommandLine(name="Invoke", binary="inv[oke]", binary_names=["inv"], version="0").run(
            ["inv", "--search-root", str(ROOT), *words]
        )
    return int(found.value.code or 0)


@pytest.mark.parametrize(
    "words",
    [
        ("--help", "status"),
        ("status", "--help"),
        ("status", "-h"),
        ("status", "--env", "staging", "--help"),
        ("status", "--help", "staging"),
    ],
)
def test_help_of_a_task_is_its_own_wherever_it_is_asked_for(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:  # fmt: skip
    assert ended(*words) == 0
    found = capsys.readouterr()
    assert "Show what is applied where" in found.out
    assert "--inventory=STRING" in found.out
    assert found.err == ""


def test_help_of_a_task_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("stats", "--help") == 1
    assert capsys.readouterr().err.strip() == "error: there is no task 'stats' (did you mean status?)"
