"""What a step made on the engine goes with its undo, after what must hold first; and images are there before any write."""

import pytest

from inventory.errors import Refused
from runbooks import events, imaging, undo
from runbooks.model import NeededImage, Question
from runbooks.plan_model import Made
from tests.runbooks.bench import content, make_bench

pytestmark = pytest.mark.slow

MADE = Made(("cache", "breaker"), ("cache-data",), ("back",))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


def question(*argv):
    return Question("fail back", "db", argv)


def test_a_rollback_takes_away_what_the_step_made_after_the_others_are_back(bench):
    folder = bench.host()
    before = content(folder)
    assert bench.migrate(bench.plan("\n# one", makes=MADE)) == 0
    assert bench.docker.ups == ["db", "web", "cache", "breaker"]
    bench.docker.tell("asked")
    assert bench.rollback() == 0
    assert content(folder) == before
    asked = bench.docker.asked
    assert bench.docker.ups == ["db", "web"]
    last_up = max(number for number, line in enumerate(asked) if " up " in line)
    gone = [line for line in asked[last_up:] if line.startswith(("rm", "stop", "volume ls", "network ls"))]
    named = ("cache", "cache", "breaker", "breaker", "compose.volume=cache-data", "compose.network=back")
    assert len(gone) == len(named)
    assert all(name in line for name, line in zip(named, gone, strict=True))


def test_a_gate_that_fails_takes_away_what_its_step_made(bench):
    bench.host()
    assert bench.migrate(bench.plan("\n# web is unhealthy", makes=MADE)) == 3
    assert "stop web-1/cache" in bench.docker.asked
    assert bench.docker.ups == ["db", "web", "cache", "breaker", "db", "web"]


def test_what_is_made_stays_when_the_old_stack_does_not_come_up_without_it(bench):
    bench.host()
    bench.migrate(bench.plan("\n# one", makes=MADE))
    bench.docker.tell("down-db")
    assert bench.rollback() == 6
    assert not [line for line in bench.docker.asked if line.startswith("stop")]


def test_a_rollback_asks_first_whether_it_may_and_writes_nothing_when_it_may_not(bench):
    folder = bench.host()
    bench.migrate(bench.plan("\n# one", before_undo=(question("sh", "-c", "echo the replica lags; exit 1"),)))
    after = content(folder)
    assert bench.rollback() == 4
    assert "it cannot be undone now (fail back): the replica lags (" in bench.end.message
    assert content(folder) == after
    assert bench.rollback("run-3", force=True) == 0


def test_of_several_services_the_first_that_runs_is_asked_whether_it_may(bench):
    bench.host()
    several = Question("fail back", "gone db web", ("sh", "-c", "echo the replica lags; exit 1"))
    bench.migrate(bench.plan("\n# one", before_undo=(several,)))
    assert bench.rollback() == 4
    assert "it cannot be undone now (fail back): the replica lags (" in bench.end.message


def test_where_none_of_several_services_runs_nobody_can_say_that_it_may(bench):
    bench.host()
    bench.migrate(bench.plan("\n# one", before_undo=(Question("fail back", "gone gone-too", ("true",)),)))
    assert bench.rollback() == 4
    assert "service gone gone-too does not run" in bench.end.message


def test_a_failing_gate_whose_undo_may_not_be_leaves_the_step_and_says_so(bench):
    folder = bench.host()
    code = bench.migrate(bench.plan("\n# web is unhealthy", before_undo=(question("sh", "-c", "echo no; exit 1"),)))
    assert code == 6
    assert b"# web is unhealthy" in (folder / "docker-compose.yml").read_bytes()
    assert "(fail back): no" in bench.of(events.StepUndone)[-1].detail


def test_a_rollback_takes_later_runs_along_where_the_operator_says_so(bench):
    folder = bench.host()
    before = content(folder)
    bench.migrate(bench.plan("\n# one", "\n# two"))
    session = bench.session()
    assert [len(plan.snapshots) for plan in undo.survey(session, run="run-1", to=None, later=True)[1]] == [2]
    assert bench.rollback(of="run-1", later=True) == 0
    assert content(folder) == before


def test_an_image_that_is_not_there_is_pulled_or_built_before_anything_is_written(bench):
    bench.host()
    bench.docker.tell("no-image")
    image = NeededImage("cache", "redis:8")
    assert bench.migrate(bench.plan("\n# one", images=(image,))) == 0
    asked = bench.docker.asked
    assert asked.index("pull -q redis:8") < min(number for number, line in enumerate(asked) if " up " in line)
    assert "cache runs redis:8, sha256:old" in [event.text for event in bench.of(events.Noted)]
    (noted,) = (event for event in bench.writer("web-1").journal() if event.kind == "images")
    assert noted.data["cache"] == "sha256:old"

    bench.docker.tell("no-image")
    built = NeededImage("cache", "own:1", {"Dockerfile": b"FROM scratch\n", "program.py": b""})
    assert imaging.provide(bench.links["web-1"], [built]) == {"cache": "sha256:old"}
    assert (bench.docker.folder / "built").read_bytes() == b"FROM scratch\n"


def test_an_image_that_cannot_be_had_is_refused_before_anything_is_written(bench):
    folder = bench.host()
    before = content(folder)
    bench.docker.tell("no-image")
    bench.docker.tell("no-registry")
    with pytest.raises(Refused, match="the image redis:8 of cache cannot be pulled: pull access denied"):
        imaging.provide(bench.links["web-1"], [NeededImage("cache", "redis:8")])
    assert bench.migrate(bench.plan("\n# one", images=(NeededImage("cache", "redis:8"),))) == 4
    assert content(folder) == before


def test_a_file_that_the_image_s_own_program_refuses_is_never_written(bench):
    folder = bench.host()
    before = content(folder)
    image = NeededImage("front", "haproxy:3", argv=("false",), data=b"listen {")
    assert bench.migrate(bench.plan("\n# one", images=(image,))) != 0
    assert "front would not start with its file" in bench.end.message
    assert content(folder) == before
