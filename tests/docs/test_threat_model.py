"""The threat model names a test for each line, and each test that it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = (ROOT / "docs" / "threat-model.md").read_text()


def known():
    """Every test function of the project by its name."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found |= set(re.findall(r"(?m)^(?:async )?def (test_\w+)\(", path.read_text()))
    return found


def lines():
    """The lines of the tables: threat, what stops it, tests."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in MODEL.splitlines() if line.startswith("| ")
    ]
    return [row for row in rows if row[0] != "threat"]


def test_every_test_that_the_threat_model_names_exists():
    named = set(re.findall(r"`(test_\w+)`", MODEL))
    assert len(named) > 50
    assert named - known() == set()


def test_every_line_of_the_threat_model_is_shown_by_a_test():
    assert len(lines()) >= 28
    assert [row[0] for row in lines() if len(row) != 3 or "`test_" not in row[2]] == []
