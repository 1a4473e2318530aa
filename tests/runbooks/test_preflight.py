"""What would spoil a run half way is refused before the first write, each with its mend."""

import pytest

from runbooks import preflight
from runbooks.preflight import Ground
from tests.runbooks.bench import make_bench


@pytest.fixture
def plan(tmp_path, monkeypatch):
    bench = make_bench(tmp_path, monkeypatch)
    bench.host()
    return bench.plan("\n# one").hosts[0]


@pytest.mark.parametrize(
    ("ground", "words"),
    [
        (Ground(0.4, 1 << 20), []),
        (Ground(-119.0, 1 << 20), []),
        (Ground(3600.0, 1 << 20), ["3600 s ahead: set it"]),
        (Ground(-130.0, 1 << 20), ["130 s behind: set it"]),
        (Ground(0.0, 100), ["only 100 KiB are free"]),
        (Ground(500.0, 0), ["500 s ahead", "only 0 KiB"]),
    ],
)
def test_a_clock_that_is_wrong_and_a_disk_that_is_full_are_refused(plan, ground, words):
    found = list(preflight.refusals(plan, ground))
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))
