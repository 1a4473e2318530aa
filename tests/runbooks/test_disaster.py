"""A host that lost what it kept is told so, and the controller's own copies bring every byte back."""

import shutil

import pytest

from inventory.errors import Refused
from runbooks import undo
from tests.runbooks.bench import BEFORE, GATE, content, make_bench

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def restored(bench, **more):
    session = bench.session("run-7")
    plans = undo.survey_vault(session, "run-1")
    assert session.errors == {}
    return undo.rollback(session, plans, "run-1", bench.emit, gate=GATE, **more)


def lose(bench, folder, what):
    state = folder.parent / "web-1.state"
    if what == "the state folder":
        shutil.rmtree(state)
    elif what == "an object":
        for path in (state / "objects").iterdir():
            path.write_bytes(b"damaged")
    else:  # the host was made anew, from the files of old
        shutil.rmtree(state)
        (folder / "docker-compose.yml").write_bytes(BEFORE)
        (folder / "made.conf").unlink()


@pytest.mark.parametrize("what", ["the state folder", "an object", "the whole host"])
def test_the_controllers_copies_bring_every_byte_back(bench, what):
    folder = bench.host()
    before = content(folder)
    bench.migrate(bench.plan("\n# one", "\n# two"))
    lose(bench, folder, what)
    if what == "an object":
        with pytest.raises(Refused, match=r"kept copy of .* is damaged"):
            bench.writer("web-1").lock() or bench.writer("web-1").undo(bench.writer("web-1").snapshots()[-1])
        bench.writer("web-1").release()
    assert restored(bench) == 0
    assert content(folder) == before
    assert restored(bench) == 0
    assert content(folder) == before


def test_what_was_changed_by_hand_is_not_overwritten_from_the_controller_either(bench):
    folder = bench.host()
    before = content(folder)
    bench.migrate(bench.plan("\n# one"))
    shutil.rmtree(folder.parent / "web-1.state")
    (folder / "docker-compose.yml").write_bytes(b"by hand")
    assert restored(bench) == 4
    assert (folder / "docker-compose.yml").read_bytes() == b"by hand"
    assert restored(bench, force=True) == 0
    assert content(folder) == before
