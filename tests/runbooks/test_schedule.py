"""What calls for ticks: units that systemd itself accepts, lines that cron itself runs, and a proof of the login before."""

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from inventory.errors import InputError, Refused
from runbooks import schedule, whole
from runbooks.commands import scheduling
from runbooks.schedule import BEGIN, END, Job, cron_lines, settings_text, units, without_block
from tests.inventory.conftest import serve, server, server_keys  # noqa: F401 - an SSH server of the tests' own

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
JOB = Job(Path("/opt/compose-runbook"), 30, Path("/home/eve/.local/state/compose-runbook/soak.env"))


@pytest.mark.parametrize("root", ["/opt/compose-runbook", "/opt/my tools/50 % more/it's $HOME", "/srv/ünï"])
def test_systemd_itself_accepts_the_units(tmp_path, root):
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("no systemd-analyze on this machine: apt-get install systemd")
    there = tmp_path / root.lstrip("/")
    there.mkdir(parents=True)
    (there / "inv").write_text("#!/bin/sh\n")
    (there / "inv").chmod(0o755)
    for name, text in units(Job(there, 30, there / "soak.env")).items():
        (tmp_path / name).write_text(text)
    for name in units(JOB):
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_the_timer_is_exact_and_its_service_holds_no_setting_that_may_be_secret(monkeypatch):
    monkeypatch.setenv("RUNBOOK_STORE", "postgresql://eve:hunter22@db/x")
    found = units(JOB)
    assert "AccuracySec=1s\n" in found["compose-runbook-soak.timer"]
    assert "OnUnitActiveSec=30\n" in found["compose-runbook-soak.timer"]
    assert "EnvironmentFile=-/home/eve/.local/state/compose-runbook/soak.env\n" in found["compose-runbook-soak.service"]
    assert "hunter22" not in "".join([*found.values(), *cron_lines(JOB)])


@pytest.mark.parametrize(("every_s", "waits"), [(60, [0]), (30, [0, 30]), (15, [0, 15, 30, 45])])
def test_cron_calls_as_often_within_a_minute_as_it_takes(every_s, waits):
    first, *lines, last = cron_lines(Job(JOB.root, every_s, JOB.settings))
    assert (first, last) == (BEGIN, END)
    assert [int(line.split("sleep ")[1].split(";")[0]) if "sleep " in line else 0 for line in lines] == waits


@pytest.mark.parametrize("every_s", [45, 61, 3600, 7])
def test_an_interval_that_cron_cannot_keep_is_refused(every_s):
    with pytest.raises(InputError, match="is no part of a minute, and here is only cron"):
        cron_lines(Job(JOB.root, every_s, JOB.settings))


@pytest.mark.parametrize("theirs", ["", "MAILTO=eve\n0 3 * * * backup\n", f"# {BEGIN}\n"])
def test_a_crontab_keeps_every_line_that_is_not_ours(theirs):
    block = "".join(f"{line}\n" for line in cron_lines(JOB))
    assert without_block(theirs + block) == theirs
    assert without_block(block + theirs) == theirs
    assert without_block(without_block(theirs)) == theirs


def test_settings_are_their_owners_alone_and_mean_the_same_to_systemd_and_sh(tmp_path):
    given = {
        "RUNBOOK_STORE": "postgresql://eve:a$b%20c@db/x?y=1&z",
        "RUNBOOK_STATE": "/home/eve/my state",
        "OTHER": "x",
    }
    path = tmp_path / "below" / "soak.env"
    whole.keep(path, settings_text(given))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = subprocess.run(
        ["sh", "-c", f"set -a; . '{path}'; env"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout
    found = dict(line.split("=", 1) for line in shown.splitlines())
    assert {name: found.get(name) for name in given} == {**given, "OTHER": None}


@pytest.mark.parametrize("value", ["it's", "a\\b", "a\nb"])
def test_a_setting_that_both_would_read_apart_is_refused(value):
    with pytest.raises(InputError, match="RUNBOOK_STORE: holds a quote, backslash or line break"):
        settings_text({"RUNBOOK_STORE": value})


@pytest.fixture
def crontab(tmp_path, monkeypatch):
    """A `crontab` that keeps its table in a file, and no systemd."""
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\ncase $1 in -l) cat {tmp_path}/table 2>/dev/null || exit 1 ;; -) cat >{tmp_path}/table ;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(schedule, "SYSTEMD", tmp_path / "none")
    monkeypatch.setattr(schedule, "unit_folder", lambda: tmp_path / "units")
    return tmp_path / "table"


def test_cron_lines_are_put_in_place_once_and_taken_out_again(crontab):
    crontab.write_text("0 3 * * * backup\n")
    for _ in range(2):
        assert schedule.install(JOB) == "cron calls soak.tick each 30 s"
    text = crontab.read_text()
    assert text.startswith("0 3 * * * backup\n")
    assert (text.count(BEGIN), text.count("soak.tick"), schedule.is_installed()) == (1, 2, True)
    assert schedule.remove() == "the crontab's lines are gone"
    assert crontab.read_text() == "0 3 * * * backup\n"
    assert schedule.remove() == "nothing was scheduled"


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A `systemctl` and a `loginctl` that write down what they were told."""
    for name in ("systemctl", "loginctl"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {name} "$*" >>{tmp_path}/asked\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(schedule, "SYSTEMD", tmp_path)
    monkeypatch.setattr(schedule, "unit_folder", lambda: tmp_path / "units")
    return tmp_path


@pytest.mark.parametrize("root", [True, False])
def test_a_timer_is_put_in_place_for_root_or_for_a_user_who_lingers(systemctl, monkeypatch, root):
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else real or 65534)
    told = schedule.install(JOB)
    own = "" if root else "--user "
    asked = (systemctl / "asked").read_text().splitlines()
    assert asked[:2] == [f"systemctl {own}daemon-reload", f"systemctl {own}enable --now compose-runbook-soak.timer"]
    assert any(line.startswith("loginctl enable-linger ") for line in asked) != root
    assert ("also while nobody is logged in" in told) != root
    assert sorted(path.name for path in (systemctl / "units").iterdir()) == sorted(units(JOB))
    assert schedule.remove() == "the timer is gone"
    assert list((systemctl / "units").iterdir()) == []


def test_where_there_is_neither_systemd_nor_cron_it_says_what_else_would_do(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "SYSTEMD", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match=r"neither systemd nor cron \(let \./inv soak\.tick --follow run"):
        schedule.install(JOB)


def test_a_login_that_needs_an_agent_is_refused_before_anything_is_put_in_place(server, tmp_path, monkeypatch, crontab):  # noqa: F811
    """Really logs in: with the key's file alone it works, with a passphrase on it, as an agent would lend it, it does not."""
    host = server.host()
    server.known("{here} " + server.public("ed25519"))
    key = tmp_path / "key"
    shutil.copy2(server.folder / "login", key)
    (tmp_path / "shop.yml").write_text(
        f"all:\n  hosts:\n    web-1:\n      ansible_host: 127.0.0.1\n      ansible_port: {server.port}\n      ansible_user: {host.user}\n"
        f"      ansible_ssh_private_key_file: {key}\n      project_dir: /srv/shop\n"
        f"      ansible_ssh_common_args: {host.variables['ansible_ssh_common_args']}\n"
    )
    monkeypatch.setenv("RUNBOOK_STATE", str(tmp_path / "own"))
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(key)], check=True)
    with pytest.raises(
        Refused,
        match=r"a scheduled tick could not log in to shop: web-1: the key has a passphrase.*it has no agent and no terminal then",
    ):
        scheduling.prove("shop", tmp_path)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", str(key)], check=True)
    try:
        scheduling.prove("shop", tmp_path)
    except Refused as refusal:
        # This machine need not have an engine: the login itself is what is asked about here.
        assert "web-1  no engine: " in str(refusal)
    assert not crontab.exists()


@pytest.mark.skipif(not os.environ.get("RUNBOOK_EXHAUSTIVE"), reason="waits for cron's minute: only in the full run")
def test_cron_itself_runs_both_rounds_of_a_minute(tmp_path):
    """A real cron in a mount namespace of its own, so that it runs this test's table and nothing else of the machine."""
    cron, unshare = shutil.which("cron", path="/usr/sbin:/usr/bin"), shutil.which("unshare")
    if not cron or not unshare or os.geteuid() != 0:
        pytest.skip("cron, unshare and root are needed: apt-get install cron")
    root = tmp_path / "tool"
    root.mkdir()
    (root / "inv").write_text(
        f'#!/bin/sh\ndate +%s >>{tmp_path}/rounds; echo "$*" >>{tmp_path}/words; env >{tmp_path}/env\n'
    )
    (root / "inv").chmod(0o755)
    job = Job(root, 30, tmp_path / "soak.env")
    whole.keep(job.settings, settings_text({"RUNBOOK_STATE": str(tmp_path / "own")}))
    table = tmp_path / "crontabs" / "root"
    table.parent.mkdir(mode=0o700)
    table.write_text("".join(f"{line}\n" for line in cron_lines(job)))
    table.chmod(0o600)
    for name in ("cron.d", "crontab", "run"):
        (tmp_path / name).mkdir() if name != "crontab" else (tmp_path / name).write_text("")
    program = (
        f"mount --bind {table.parent} /var/spool/cron/crontabs && mount --bind {tmp_path}/cron.d /etc/cron.d && "
        f"mount --bind {tmp_path}/crontab /etc/crontab && mount --bind {tmp_path}/run /run && exec {cron} -f"
    )
    child = subprocess.Popen([unshare, "--mount", "sh", "-c", program], stderr=subprocess.PIPE, start_new_session=True)
    try:
        rounds = tmp_path / "rounds"
        end = time.monotonic() + 240
        while not rounds.exists() or len(rounds.read_text().split()) < 2:
            if child.poll() is not None:
                pytest.skip(f"no mount namespace here: {child.stderr.read().decode()[-200:]}")
            assert time.monotonic() < end
            time.sleep(0.5)
    finally:
        child.terminate()
        child.wait(20)
    seconds = [int(word) % 60 for word in rounds.read_text().split()]
    assert any(second < 25 for second in seconds)
    assert any(second >= 30 for second in seconds)
    assert set((tmp_path / "words").read_text().splitlines()) == {"soak.tick"}
    assert f"RUNBOOK_STATE={tmp_path}/own" in (tmp_path / "env").read_text()
