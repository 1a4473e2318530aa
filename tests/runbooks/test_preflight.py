"""What would spoil a run half way is refused before the first write, each with its mend; asked of a real host, in each shell."""

import os
import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from inventory import backups
from inventory.backups import Backup
from inventory.connection import LocalLink
from inventory.errors import HostFailed, InputError
from inventory.link import Reply
from inventory.model import Host, Project
from lab.proof.shell import SHELLS, ShellLink
from runbooks import ground, preflight
from runbooks.ground import Ground, Room
from runbooks.preflight import Wanted
from tests.runbooks.bench import make_bench

FREE = {"state": Room(1 << 20, 1 << 16), "project": Room(1 << 20, 1 << 16), "tmp": Room(1 << 20, None)}
WELL = Ground(0.4, FREE, 1000, (1000, 50), 1 << 20, clock=1_000_000)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    bench = make_bench(tmp_path, monkeypatch)
    bench.host()
    made = bench.plan("\n# one").hosts[0]
    owned = tuple(
        replace(
            stage, files=tuple(replace(file, before=replace(file.before, uid=1000, gid=50)) for file in stage.files)
        )
        for stage in made.stages
    )
    return replace(made, stages=owned)


def room(**changed):
    return replace(WELL, rooms={**FREE, **changed})


BAD = {
    "a clock ahead": (replace(WELL, skew_s=3600.0), "its clock is 3600 s ahead: set it"),
    "a clock behind": (replace(WELL, skew_s=-130.0), "its clock is 130 s behind: set it"),
    "no room for snapshots": (room(state=Room(100, 9999)), "only 100 KiB are free for its snapshots, 16384 are needed"),
    "no room in the project": (room(project=Room(10, 9999)), "only 10 KiB are free for new files beside the old"),
    "no room for temporary files": (room(tmp=Room(0, None)), "only 0 KiB are free for temporary files"),
    "no inodes for snapshots": (room(state=Room(1 << 20, 3)), "only 3 inodes are free for its snapshots"),
    "no inodes in the project": (room(project=Room(1 << 20, 0)), "only 0 inodes are free for new files beside the old"),
    "no inodes for temporary files": (room(tmp=Room(1 << 20, 9)), "only 9 inodes are free for temporary files"),
    "no memory": (replace(WELL, memory_kib=40 * 1024), "only 40 MiB of memory are available, 128 are needed"),
    "no tools": (replace(WELL, missing=("sha256sum", "dd")), "sha256sum, dd is not there: install coreutils"),
    "another's file": (replace(WELL, uid=1001), "docker-compose.yml belongs to user 1000, whom this user cannot give it back to"),
    "another group's file": (replace(WELL, gids=(1000,)), "docker-compose.yml belongs to group 50, which this user is not in"),
    "changes that git does not know": (replace(WELL, edited=("docker-compose.yml",)), "docker-compose.yml has changes that its git checkout does not know"),
    "a deploy by itself": (replace(WELL, deploys=("crontab: * * * * * git pull",)), "crontab: * * * * * git pull may overwrite the files: stop it"),
    "no backup": (WELL, "db would be restarted, and there is no backup /b/*: back up"),
    "an old backup": (replace(WELL, backups={"/b/*": 1_000_000 - 7200}), "the newest backup /b/* is 2.0 h old, more than 1 h"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_would_spoil_a_run_is_one_line_with_its_mend(plan, case):
    there, words = BAD[case]
    wants = Wanted((Backup("/b/*", 3600.0),)) if "backup" in case else Wanted()
    blocked, warnings = preflight.found(plan, there, wants)
    assert warnings == ()
    assert len(blocked) == 1
    assert words in blocked[0]
    name = next(name for name, check in preflight.CHECKS.items() if check(plan, there, wants))
    assert preflight.found(plan, there, replace(wants, warn=(name,))) == ((), blocked)
    assert preflight.found(replace(plan, stages=()), there, wants) == ((), ())


def test_a_host_on_which_all_is_well_is_not_held_up(plan):
    fresh = replace(WELL, skew_s=-119.0, backups={"/b/*": 1_000_000 - 3599})
    assert preflight.found(plan, fresh, Wanted((Backup("/b/*", 3600.0),))) == ((), ())
    assert preflight.found(plan, replace(WELL, uid=0, gids=(0,)), Wanted()) == ((), ())
    unknown = Ground(0.0, {}, 0, (0,))
    assert preflight.found(plan, unknown, Wanted()) == ((), ())
    (stage,) = plan.stages
    quiet = replace(
        plan, stages=(replace(stage, restarts=tuple(each for each in stage.restarts if not each.holds_data)),)
    )
    assert preflight.found(quiet, WELL, Wanted((Backup("/b/*", 1.0),))) == ((), ())


def test_what_a_restart_would_lose_is_refused_unless_the_operator_takes_the_risk(plan):
    (stage,) = plan.stages
    loses = replace(plan, stages=(replace(stage, restarts=(replace(stage.restarts[0], loses=("/app/uploads",)),)),))
    blocked, _ = preflight.found(loses, WELL, Wanted())
    assert "recreating db would lose /app/uploads in its writable layer" in blocked[0]
    assert preflight.found(loses, WELL, Wanted(), "high") == ((), blocked)


def test_files_in_a_clean_git_checkout_are_only_pointed_out(plan):
    blocked, (warning,) = preflight.found(plan, replace(WELL, tracked=("docker-compose.yml",)), Wanted())
    assert blocked == ()
    assert "docker-compose.yml is in a git checkout: commit what is written" in warning


@pytest.fixture(params=SHELLS)
def looked(request, tmp_path):
    """Asks this machine, with a /proc and an /etc of the test's own."""
    if not shutil.which(SHELLS[request.param][0]):
        pytest.skip(f"{request.param} is not on this machine")
    project, root = tmp_path / "a project's folder", tmp_path / "root"
    for folder in (project, root / "etc/cron.d", root / "etc/systemd/system", root / "proc"):
        folder.mkdir(parents=True, exist_ok=True)
    (project / "docker-compose.yml").write_text("services: {}\n")
    link = ShellLink(project, request.param)

    def look(*patterns):
        files = [str(project / "docker-compose.yml"), str(project / "new.conf")]
        wanted = [Backup(str(pattern), 1.0) for pattern in patterns]
        call = ground.call(str(project), str(tmp_path / "not/yet/there"), files, wanted, become=False, root=str(root))
        return ground.read(link.run(call.program, *call.args, data=call.data), "web-1")

    look.project, look.root = project, root
    return look


def test_a_host_says_what_it_has(looked, tmp_path):
    (looked.root / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4242 kB\n")
    found = looked()
    assert abs(found.skew_s) < 60
    assert (found.uid, found.gids) == (os.getuid(), tuple(os.getgroups()) or (os.getgid(),)) or found.uid == os.getuid()
    assert found.memory_kib == 4242
    free = os.statvfs(tmp_path)
    for name in ("state", "project"):
        assert 0.5 < found.rooms[name].kib / (free.f_bavail * free.f_frsize / 1024) < 2
    assert "tmp" in found.rooms
    assert (found.missing, found.tracked, found.edited, found.deploys, found.backups) == ((), (), (), (), {})


def test_a_host_knows_its_newest_backup(looked, tmp_path):
    folder = tmp_path / "back ups"
    folder.mkdir()
    for name, age_s in (("a.dump", 7200), ("b.dump", 60), ("c.txt", 1)):
        (folder / name).write_text("x")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    found = looked(folder / "*.dump", folder / "*.none")
    newest, none = found.backups[f"{folder}/*.dump"], found.backups[f"{folder}/*.none"]
    assert none == 0
    assert 55 < found.clock - newest < 120


@pytest.mark.skipif(not shutil.which("git"), reason="git is not on this machine")
def test_a_host_knows_which_files_its_git_checkout_would_take_away(looked):
    run = lambda *words: subprocess.run(["git", "-C", str(looked.project), *words], check=True, capture_output=True)  # noqa: E731
    run("init", "-q")
    assert looked().tracked == ()
    run("add", ".")
    run("-c", "user.email=a@b", "-c", "user.name=x", "commit", "-q", "-m", "x")
    assert (looked().tracked, looked().edited) == (("docker-compose.yml",), ())
    (looked.project / "docker-compose.yml").write_text("services: {web: {}}\n")
    assert (looked().tracked, looked().edited) == (("docker-compose.yml",), ("docker-compose.yml",))


def test_a_host_knows_what_deploys_by_itself(looked):
    (looked.root / "etc/cron.d/shop").write_text(
        f"# * * * * * root cd {looked.project} && git pull\n0 3 * * * root tar cf /b.tar {looked.project}\n"
        f"* * * * * root cd '/elsewhere' && git pull\n"
    )
    assert looked().deploys == ()
    (looked.root / "etc/cron.d/other").write_text(f"*/5 * * * * root cd {looked.project} && git pull\n")
    unit = looked.root / "etc/systemd/system"
    (unit / "deploy.timer").write_text("[Timer]\n")
    (unit / "deploy.service").write_text(
        f"[Service]\nWorkingDirectory={looked.project}\nExecStart=/usr/bin/rsync a b\n"
    )
    (unit / "plain.service").write_text(f"[Service]\nExecStart=git {looked.project}\n")  # no timer calls it
    first, second = looked().deploys
    assert first.startswith("/etc/cron.d/other: */5 * * * * root cd")
    assert second.startswith("deploy.timer: [Service] WorkingDirectory=")


@pytest.mark.parametrize(
    "said", [b"", b"clock 1\nuser 0 0\n", b"user 0 0\nend\n", b"clock x\nuser 0\nend\n", b"clock 1\nuser a\nend\n"]
)
def test_an_answer_that_says_too_little_is_a_failure_of_its_host(said):
    with pytest.raises(HostFailed, match="web-1: "):
        ground.read(Reply(0, said, b"", 0.1), "web-1")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "backups: must be a list"),
        (["x"], r"backups\.1: must be a mapping"),
        ([{"path": "/a"}], r"backups\.1: needs within"),
        ([{"path": "a", "within": "1h"}], r"backups\.1\.path: 'a' is no absolute path"),
        ([{"path": "/a\nb", "within": "1h"}], r"backups\.1\.path"),
        ([{"path": "/a", "within": "soon"}], r"backups\.1\.within: 'soon' is not a duration"),
        ([{"path": "/a", "within": "1h", "witin": 1}], r"backups\.1\.witin: unknown key"),
    ],
)
def test_what_an_inventory_says_of_backups_is_checked(value, words):
    with pytest.raises(InputError, match=words):
        backups.parse(value, "shop.yml", 3)
    assert backups.parse([{"path": "/a/*.dump", "within": "26h"}]) == (Backup("/a/*.dump", 26 * 3600.0),)


def test_a_check_that_only_warns_is_named_as_it_is_called():
    assert preflight.wanted({"preflight_warn": ["git", "deploys"]}).warn == ("git", "deploys")
    with pytest.raises(InputError, match=r"preflight_warn: 'gti' is no check \(did you mean git\?\)"):
        preflight.wanted({"preflight_warn": ["gti"]})
    with pytest.raises(InputError, match=r"preflight_warn: must be a list"):
        preflight.wanted({"preflight_warn": "git"})


def test_asking_changes_nothing(tmp_path):
    link = LocalLink(Host("here", "here", Project(str(tmp_path)), connection="local"))
    (tmp_path / "x").write_text("x")
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    call = ground.call(str(tmp_path), str(tmp_path / "state"), [str(tmp_path / "x")], (), become=False)
    ground.read(link.run(call.program, *call.args, data=call.data), "here")
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
