"""What several tests of runs need: a store of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.evidence import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store that tasks use which know no other: the controller's state folder is the test's own."""
    monkeypatch.delenv("RUNBOOK_STORE", raising=False)
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "own"))
    made = Store()
    yield made
    made.close()
