"""Hooks around batches on real files and real shells, windows that close during a run, and a table of bad input."""

import pytest

from inventory import hooks as values
from inventory.errors import InputError, Refused
from inventory.secrets import Mask
from runbooks import events
from runbooks.screen_run import Collector
from tests.runbooks.bench import BEFORE, content, make_bench

pytestmark = pytest.mark.slow

SECRET = "hunter22-very-secret"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    return make_bench(tmp_path, monkeypatch)


@pytest.fixture
def log(tmp_path):
    """A file that hooks write to, and its lines."""
    path = tmp_path / "log"
    path.touch()
    return path


def hooks(**given):
    return values.parse(given)


def told(bench):
    return [(event.when, event.name, event.host, event.ok) for event in bench.of(events.HookRan)]


def test_hooks_run_around_each_batch_where_they_are_wanted(bench, log):
    folders = [bench.host(name) for name in ("web-1", "web-2")]
    note = f'echo "$RUNBOOK_BATCH {{}} $RUNBOOK_HOSTS $RUNBOOK_HOST $RUNBOOK_OUTCOME" >> {log}'
    own = hooks(
        before=[
            {"name": "drain", "run": note.format("drain")},
            {"name": "silence", "run": note.format("silence"), "where": "controller"},
        ],
        after=[
            {"name": "listen", "run": note.format("listen"), "where": "controller"},
            {"name": "fill", "run": f"grep -q one docker-compose.yml && {note.format('fill')}"},
        ],
    )
    assert bench.migrate(bench.plan("\n# one", hooks=own), serial=("1",)) == 0
    assert log.read_text().splitlines() == [
        "1 silence web-1  ", "1 drain web-1 web-1 ", "1 fill web-1 web-1 changed", "1 listen web-1  done",
        "2 silence web-2  ", "2 drain web-2 web-2 ", "2 fill web-2 web-2 changed", "2 listen web-2  done",
    ]  # fmt: skip
    assert all(folder.joinpath("docker-compose.yml").read_bytes() == BEFORE + b"\n# one" for folder in folders)
    kinds = [(event.kind, event.data.get("name")) for event in bench.writer("web-1").journal() if event.kind == "hook"]
    assert kinds == [("hook", name) for name in ("silence", "drain", "fill", "listen")]


def test_a_failing_hook_before_a_batch_writes_nothing_and_what_it_did_is_taken_back(bench, log):
    folders = [bench.host(name) for name in ("web-1", "web-2")]
    before = [content(folder) for folder in folders]
    own = hooks(
        before=[
            {"name": "silence", "run": f"echo silence >> {log}"},
            {"name": "drain", "run": "echo the balancer is gone; exit 3"},
            {"name": "never", "run": f"echo no >> {log}"},
        ],
        after={"name": "listen", "run": f"echo listen >> {log}"},
    )
    assert bench.migrate(bench.plan("\n# one", hooks=own), serial=("1", "1")) == 5
    assert [content(folder) for folder in folders] == before
    assert log.read_text().splitlines() == ["silence", "listen"]
    assert bench.end.outcome == "failed" and bench.end.hosts == {"web-1": "failed", "web-2": "skipped"}
    assert bench.end.message == "the hook drain failed on web-1: exit 3: the balancer is gone; nothing was written"
    assert bench.docker.ups == [] and bench.writer("web-1").owner() is None


def test_a_failing_hook_may_let_the_run_go_on(bench):
    folder = bench.host()
    own = hooks(before={"run": "exit 3", "on_failure": "go_on"}, after={"run": "exit 4", "on_failure": "go_on"})
    assert bench.migrate(bench.plan("\n# one", hooks=own)) == 0
    assert (folder / "docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    assert [(event.when, event.ok, event.detail) for event in bench.of(events.HookRan)] == [
        ("before", False, "exit 3"), ("after", False, "exit 4"),
    ]  # fmt: skip


def test_a_failing_hook_after_a_batch_lets_it_stand_and_spares_the_next(bench):
    folders = [bench.host(name) for name in ("web-1", "web-2")]
    assert bench.migrate(bench.plan("\n# one", hooks=hooks(after="exit 9")), serial=("1",)) == 5
    assert folders[0].joinpath("docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    assert folders[1].joinpath("docker-compose.yml").read_bytes() == BEFORE
    assert bench.end.hosts == {"web-1": "changed", "web-2": "skipped"}
    assert "the hook exit failed on web-1: exit 9; what was migrated stands" in bench.end.message


def test_hooks_after_a_batch_run_after_an_undo_too_and_are_told_how_it_ended(bench, log):
    bench.host()
    own = hooks(after=f"echo $RUNBOOK_OUTCOME >> {log}; exit 1")
    assert bench.migrate(bench.plan("\n# web is unhealthy", hooks=own)) == 3
    assert log.read_text() == "undone\n"
    assert bench.end.outcome == "gate failed"


def test_a_hook_that_does_not_end_is_ended(bench):
    bench.host()
    own = hooks(before={"name": "drain", "run": "sleep 600", "timeout": "300ms"})
    assert bench.migrate(bench.plan("\n# one", hooks=own)) == 5
    (event,) = bench.of(events.HookRan)
    assert event.detail == "no end in 0.3 s"


def test_hosts_without_changes_have_no_hooks_run(bench, log):
    bench.host()
    assert bench.migrate(bench.plan(hooks=hooks(before=f"echo no >> {log}"))) == 0
    assert log.read_text() == "" and told(bench) == []


def test_a_hooks_secret_is_in_no_process_list_no_journal_and_no_output(bench, log, monkeypatch):
    folder = bench.host()
    monkeypatch.setenv("LB_TOKEN", SECRET)
    (hook,) = hooks(before={
        "name": "drain", "run": f'echo "$TOKEN"; tr "\\0" " " < /proc/$$/cmdline >> {log}; [ "$PLAIN" = "a b" ]',
        "env": {"TOKEN": {"from_env": "LB_TOKEN"}, "PLAIN": "a b"},
    })  # fmt: skip
    mask = Mask()
    assert SECRET not in repr(hook)
    collector = Collector()
    bench.on = collector
    assert bench.migrate(bench.plan("\n# one", hooks=(hook,)), secrets={hook: hook.resolved(mask)}) == 0
    assert SECRET not in log.read_text() and "TOKEN" not in log.read_text()
    assert SECRET not in collector.document(mask) and "********" in collector.document(mask)
    state = bench.tmp_path / f"{folder.name}.state"
    assert all(SECRET.encode() not in path.read_bytes() for path in state.rglob("*") if path.is_file())


def test_a_secret_that_cannot_be_had_is_an_error_before_anything_is_written(monkeypatch):
    monkeypatch.delenv("NOT_THERE", raising=False)
    (hook,) = hooks(before={"name": "drain", "run": "true", "env": {"TOKEN": {"from_env": "NOT_THERE"}}})
    with pytest.raises(InputError, match=r"hooks.before.drain.env.TOKEN: NOT_THERE is not set"):
        hook.resolved(Mask())


def test_a_window_that_closes_during_a_run_spares_the_batches_that_have_not_begun(bench):
    folders = [bench.host(name) for name in ("web-1", "web-2")]
    over = Refused("no maintenance window is open: the next time is Sat", host="web-2", mend="wait")
    closed = lambda name: over if name == "web-2" else None  # noqa: E731
    assert bench.migrate(bench.plan("\n# one"), serial=("1",), closed=closed) == 4
    assert folders[0].joinpath("docker-compose.yml").read_bytes() == BEFORE + b"\n# one"
    assert folders[1].joinpath("docker-compose.yml").read_bytes() == BEFORE
    assert bench.end.hosts == {"web-1": "changed", "web-2": "failed"}
    assert bench.writer("web-2").owner() is None


def test_an_override_is_journalled_with_who_and_why(bench):
    bench.host()
    assert bench.migrate(bench.plan("\n# one"), override="the disk is full") == 0
    (entry,) = [event for event in bench.writer("web-1").journal() if event.kind == "override"]
    assert (entry.data["reason"], entry.data["who"]) == ("the disk is full", "eve@laptop")
    assert bench.of(events.RunStarted)[0].override == "the disk is full"


# hooks, key, words of the message, words of the mend
BAD = {
    "another time": ({"befor": "true"}, "hooks.befor", "unknown key", "did you mean before?"),
    "no command": ({"before": {"name": "x"}}, "hooks.before.1", "has no run", "run:"),
    "an empty command": ({"before": " "}, "hooks.before.1.run", "is no command", "sh"),
    "a number": ({"before": [5]}, "hooks.before.1", "must be a mapping", "name, run"),
    "a command that is a list": ({"before": {"run": ["a"]}}, "hooks.before.1.run", "is no command", "sh"),
    "a key misspelt": ({"after": [{"run": "a", "timout": 3}]}, "hooks.after.1.timout", "unknown key", "timeout?"),
    "a time that is none": ({"after": {"run": "a", "timeout": "soon"}}, "hooks.after.1.timeout", "not a duration", "30s"),
    "no time": ({"after": {"run": "a", "timeout": 0}}, "hooks.after.1.timeout", "is no time limit", "3600s"),
    "a day": ({"after": {"run": "a", "timeout": "25h"}}, "hooks.after.1.timeout", "is no time limit", "3600s"),
    "another place": ({"after": {"run": "a", "where": "hosts"}}, "hooks.after.1.where", "'hosts' is not known", "host?"),
    "another effect": ({"after": {"run": "a", "on_failure": "ignore"}}, "hooks.after.1.on_failure", "not known", "stop or go_on"),
    "two of a name": ({"after": ["a b", "a c"]}, "hooks.after", "'a' stands twice", "name:"),
    "variables that are a list": ({"after": {"run": "a", "env": ["A=1"]}}, "hooks.after.1.env", "must be a mapping", ""),
    "a variable with a dash": ({"after": {"run": "a", "env": {"A-B": "1"}}}, "hooks.after.1.env.A-B", "no variable's name", "letters"),
    "an own variable": ({"after": {"run": "a", "env": {"RUNBOOK_RUN": "1"}}}, "hooks.after.1.env.RUNBOOK_RUN", "no variable's name", "not RUNBOOK"),
    "a variable that is a list": ({"after": {"run": "a", "env": {"A": [1]}}}, "hooks.after.1.env.A", "is a list", "one text"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_hook_is_one_line_with_place_and_mend(case):
    given, key, words, mend = BAD[case]
    with pytest.raises(InputError) as caught:
        values.parse(given, "shop.yml", 7)
    error = caught.value
    assert (error.path, error.line, error.key) == ("shop.yml", 7, key)
    assert words in error.message and mend in error.mend and "\n" not in str(error)
