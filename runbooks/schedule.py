"""What calls for ticks: a systemd timer (the user's, or the system's for root), else cron. Built here, put in place below.

A unit and a crontab can be read by others, so settings that may hold a password (RUNBOOK_STORE) go into a file of the
user's own that both read.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from inventory.errors import InputError, Refused, RunbookError
from inventory.values import frozen

NAME = "compose-runbook-soak"
BEGIN, END = f"# begin {NAME}", f"# end {NAME}"
PASSED_ON = ("RUNBOOK_STATE", "RUNBOOK_STORE", "XDG_STATE_HOME")
"""Settings that a tick must have as the operator has them."""
SYSTEMD = Path("/run/systemd/system")
LIMIT_S = 60


@frozen
class Job:
    """Ticks as a job: where this program stands, how often it is called, and its file of settings."""

    root: Path
    every_s: int
    settings: Path


def units(job: Job) -> dict[str, str]:
    """The service and the timer of systemd, by file name."""
    service = f"""\
[Unit]
Description=One round of Compose Runbook's soaks
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={escaped(str(job.root))}
EnvironmentFile=-{escaped(str(job.settings))}
ExecStart=/bin/sh ./inv soak.tick
# 5: a host did not answer. That is evidence, and no fault of the unit.
SuccessExitStatus=5
TimeoutStartSec=300
Nice=10
"""
    timer = f"""\
[Unit]
Description=Calls for a round of Compose Runbook's soaks each {job.every_s} s

[Timer]
OnActiveSec=1
OnUnitActiveSec={job.every_s}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
    return {f"{NAME}.service": service, f"{NAME}.timer": timer}


def cron_lines(job: Job) -> tuple[str, ...]:
    """The block of a crontab: a line for each call within a minute. Raises InputError for what cron cannot do."""
    if job.every_s > 60 or 60 % job.every_s:
        raise InputError(
            f"{job.every_s} s is no part of a minute, and here is only cron",
            key="--every",
            mend="write 60s, 30s, 20s or 15s",
        )
    log = job.settings.with_name("soak.log")
    # % is cron's own newline.
    command = (
        f"set -a; [ ! -e {shlex.quote(str(job.settings))} ] || . {shlex.quote(str(job.settings))}; "
        f"cd {shlex.quote(str(job.root))} && ./inv soak.tick >{shlex.quote(str(log))} 2>&1"
    ).replace("%", r"\%")
    lines = [f"* * * * * {f'sleep {wait}; ' if wait else ''}{command}" for wait in range(0, 60, job.every_s)]
    return (BEGIN, *lines, END)


def without_block(crontab: str) -> str:
    """A crontab without our block."""
    kept, inside = [], False
    for line in crontab.splitlines():
        if line.strip() == BEGIN:
            inside = True
        elif line.strip() == END and inside:
            inside = False
        elif not inside:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def settings_text(environment: Mapping[str, str]) -> str:
    """The file of settings, as both systemd and sh read it. Raises InputError for a value that they would read apart."""
    lines = []
    for name in PASSED_ON:
        value = environment.get(name)
        if not value:
            continue
        if any(char in value for char in "'\\\n\r\0"):
            raise InputError("holds a quote, backslash or line break", key=name, mend="percent-encode it")
        lines.append(f"{name}='{value}'\n")
    return "".join(lines)


def escaped(text: str) -> str:
    """A path in a unit: % begins a specifier there."""
    return text.replace("%", "%%")


def has_systemd() -> bool:
    return SYSTEMD.exists() and shutil.which("systemctl") is not None


def unit_folder() -> Path:
    """Where this user's units are."""
    if os.geteuid() == 0:
        return Path("/etc/systemd/system")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def install(job: Job) -> str:
    """Puts the timer or the crontab's lines in place, and says what it did. Raises Refused where there is neither."""
    if has_systemd():
        return _install_units(job)
    if shutil.which("crontab"):
        lines = cron_lines(job)
        _write_crontab(without_block(_crontab()) + "".join(f"{line}\n" for line in lines))
        return f"cron calls soak.tick each {job.every_s} s"
    raise Refused("here is neither systemd nor cron", mend="let ./inv soak.tick --follow run under what keeps programs running here")  # fmt: skip


def remove() -> str:
    """Takes out what `install` put in place, and says what it did."""
    done = []
    folder = unit_folder()
    if any((folder / name).exists() for name in (f"{NAME}.timer", f"{NAME}.service")):
        if has_systemd():
            _systemctl("disable", "--now", f"{NAME}.timer")
        for name in (f"{NAME}.timer", f"{NAME}.service"):
            (folder / name).unlink(missing_ok=True)
        if has_systemd():
            _systemctl("daemon-reload")
        done.append("the timer is gone")
    if shutil.which("crontab") and BEGIN in (before := _crontab()):
        _write_crontab(without_block(before))
        done.append("the crontab's lines are gone")
    return "; ".join(done) or "nothing was scheduled"


def is_installed() -> bool:
    """Whether something calls for ticks, as far as this program put it there."""
    if (unit_folder() / f"{NAME}.timer").exists():
        return True
    return shutil.which("crontab") is not None and BEGIN in _crontab()


def _install_units(job: Job) -> str:
    folder = unit_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in units(job).items():
        (folder / name).write_text(text)
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", f"{NAME}.timer")
    if os.geteuid() == 0:
        return f"the timer {NAME} calls soak.tick each {job.every_s} s"
    user = pwd.getpwuid(os.geteuid()).pw_name
    lingers = _run(["loginctl", "enable-linger", user]).returncode == 0
    more = "also while nobody is logged in" if lingers else f"only while {user} is logged in: ask root for loginctl enable-linger {user}"  # fmt: skip
    return f"the user's timer {NAME} calls soak.tick each {job.every_s} s, {more}"


def _systemctl(*words: str) -> None:
    done = _run(["systemctl", *([] if os.geteuid() == 0 else ["--user"]), *words])
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip().splitlines()
        raise RunbookError(f"systemctl {words[0]} failed: {complaint[-1] if complaint else done.returncode}", mend="see journalctl")  # fmt: skip


def _crontab() -> str:
    done = _run(["crontab", "-l"])
    return done.stdout if done.returncode == 0 else ""


def _write_crontab(text: str) -> None:
    done = _run(["crontab", "-"], text)
    if done.returncode:
        raise RunbookError(f"the crontab could not be written: {done.stderr.strip()[:200]}", mend="see crontab -l")


def _run(words: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunbookError(f"{words[0]} did not run: {type(error).__name__}") from None
