"""Runs a test that takes `case` once for each folder under `cases/`."""

from __future__ import annotations

import pytest

from tests.runbooks.compose.material import CASES, Case


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=[path.name for path in CASES], indirect=True)


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)
