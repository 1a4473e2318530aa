"""The two parts of `./inv proof` that strike no host, whole: bad input breaks no reader, and no planted secret is shown or kept."""

from importlib import import_module

import pytest

from lab.proof import prove
from lab.proof.table import Effort

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "column", "least"), [("inputs", "inputs", 900), ("secrets", "planted", 100)])
def test_bad_input_breaks_no_reader_and_no_planted_secret_leaks(name, column, least, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "controller"))
    part = import_module(prove.PARTS[name]).prove(Effort(workers=2))
    assert part.skipped == ()
    assert part.wrong == ()
    assert sum(row[part.columns.index(column)] for row in part.rows) >= least
