"""Hosts that lost what they kept, or were built anew, asked by the commands that an operator gives: a clear answer, and the way back."""

import shutil

import pytest

from runbooks.commands import keeping, rolling_back
from runbooks.output import Output
from tests.runbooks.test_applying import COMPOSE, environment, migrate

__all__ = ["environment"]

pytestmark = pytest.mark.slow

HOSTS = ("web-1", "web-2")


@pytest.fixture
def migrated(environment, capsys):
    assert migrate(environment) == 0
    capsys.readouterr()
    return environment


def rollback(folder, **more):
    return rolling_back.rollback(Output(yes=True), "fleet", folder=folder, **more)


def texts(folder):
    return [(folder / name / "compose.yml").read_text() for name in HOSTS]


def lose(folder, *hosts):
    for name in hosts:
        shutil.rmtree(folder / f"{name}.state")


def test_a_host_that_lost_its_state_folder_is_told_from_one_with_nothing_to_undo(migrated, capsys):
    new = texts(migrated)
    lose(migrated, *HOSTS)
    assert rollback(migrated) == 4
    said = capsys.readouterr()
    for name in HOSTS:
        assert f"error: {name}: {migrated}/{name}.state keeps nothing of " in said.err
    assert "of which this controller has a copy (put that folder back, or add --from-controller)" in said.err
    assert "nothing to undo" not in said.out
    assert texts(migrated) == new


def test_the_others_are_rolled_back_and_the_one_that_lost_its_own_comes_back_from_the_controller(migrated, capsys):
    _, new = texts(migrated)
    lose(migrated, "web-2")
    assert rollback(migrated) == 5
    assert texts(migrated) == [COMPOSE, new]
    assert "web-2.state keeps nothing of " in capsys.readouterr().err
    assert rollback(migrated, from_controller=True) == 0
    assert texts(migrated) == [COMPOSE, COMPOSE]


def test_snapshots_that_went_without_their_journal_are_lost_too(migrated, capsys):
    for name in HOSTS:
        for path in (migrated / f"{name}.state/snapshots").iterdir():
            path.unlink()
    assert rollback(migrated) == 4
    assert capsys.readouterr().err.count("add --from-controller") == 2


def test_what_was_undone_and_pruned_is_not_lost(migrated, capsys):
    assert rollback(migrated) == 0
    assert keeping.prune(Output(yes=True), "fleet", folder=migrated, keep=0) == 0
    assert list((migrated / "web-1.state/snapshots").glob("*.json")) == []
    capsys.readouterr()
    assert rollback(migrated) == 0
    assert "nothing to undo on fleet" in capsys.readouterr().out


@pytest.mark.parametrize("files", ["of old", "of the run", "none", "no folder"])
def test_a_host_that_was_built_anew_is_put_back_from_the_controller_or_says_why_not(migrated, capsys, files):
    new = texts(migrated)
    lose(migrated, *HOSTS)
    for name in HOSTS:
        shutil.rmtree(migrated / name)
        if files != "no folder":
            (migrated / name).mkdir()
    if files in ("of old", "of the run"):
        for name, text in zip(HOSTS, new, strict=True):
            (migrated / name / "compose.yml").write_text(COMPOSE if files == "of old" else text)
        assert rollback(migrated, from_controller=True) == 0
        assert texts(migrated) == [COMPOSE, COMPOSE]
        assert rollback(migrated, from_controller=True) == 0
        assert texts(migrated) == [COMPOSE, COMPOSE]
        return
    code = rollback(migrated, from_controller=True)
    said = capsys.readouterr()
    assert code in (4, 5)
    if files == "none":
        assert "compose.yml was changed since (restore it, or add --force (keeps a copy))" in said.out + said.err
        assert rollback(migrated, from_controller=True, force=True) == 0
        assert texts(migrated) == [COMPOSE, COMPOSE]
    else:
        assert f"no folder {migrated}/web-1" in said.err


def test_an_unfinished_transaction_that_a_host_cannot_repair_is_let_go_of_and_its_files_come_from_the_controller(
    migrated, capsys
):
    for name in HOSTS:
        (migrated / f"{name}.state/pending").write_text("t-9\n")
    new = texts(migrated)
    assert rollback(migrated) in (4, 5)
    assert "an interrupted transaction is pending: t-9: refused the notes of t-9 are gone" in capsys.readouterr().err
    assert texts(migrated) == new
    assert rollback(migrated, from_controller=True) == 0
    assert texts(migrated) == [COMPOSE, COMPOSE]
    assert migrate(migrated) == 0, "nothing is left that hinders the next run"
