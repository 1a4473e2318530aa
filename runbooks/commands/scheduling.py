"""`soak.schedule`: lets systemd or cron call `soak.tick`, once it is proven that it can log in by itself."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from checks.evidence import Soaks, Store, folder
from inventory import inventory
from inventory.durations import duration
from inventory.errors import InputError, Refused
from runbooks import book, whole
from runbooks import schedule as schedules
from runbooks.output import Output
from runbooks.schedule import Job

ROOT = Path(__file__).resolve().parents[2]
PROOF_S = 300
SETTINGS = "soak.env"


def schedule(out: Output, *, install: bool = False, show: bool = False, remove: bool = False, environment: str = "",
             folder: Path | None = None, every: str = "30s") -> int:  # fmt: skip
    """Installs, shows or removes what calls for ticks. Raises Refused where a tick could not log in by itself."""
    if install + show + remove != 1:
        raise InputError("name none or several of them", key="--install, --print, --remove", mend="name one")
    if remove:
        told = schedules.remove()
        (state() / SETTINGS).unlink(missing_ok=True)
        out.show(told)
        out.document({"done": told})
        return 0
    job = Job(ROOT, whole_seconds(every), state() / SETTINGS)
    if show:
        if environment:
            inventory.load(environment, folder, book.declared())
        found = (
            schedules.units(job)
            if schedules.has_systemd()
            else {"crontab": "\n".join(schedules.cron_lines(job)) + "\n"}
        )
        if not out.as_json:
            out.raw("".join(f"# {name}\n{text}" if len(found) > 1 else text for name, text in found.items()))
        out.document(found)
        return 0
    settings = schedules.settings_text({**os.environ, "RUNBOOK_STATE": str(state())})
    for name, where in watched(environment, folder):
        prove(name, where)
        out.show(f"{name}: logged in to every host without an agent or a password")
    whole.keep(job.settings, settings)
    told = schedules.install(job)
    out.show(told)
    out.document({"done": told})
    return 0


def state() -> Path:
    return folder().resolve()


def whole_seconds(every: str) -> int:
    """The interval in whole seconds. Raises InputError."""
    seconds = duration(every, key="--every")
    if seconds < 1 or seconds != int(seconds):
        raise InputError("is no whole number of seconds", key="--every", mend="write 30s")
    return int(seconds)


def watched(environment: str, folder: Path | None) -> list[tuple[str, Path | None]]:
    """The environments that ticks will log in to: the named one, else those of the running soaks. Raises InputError."""
    if environment:
        return [(environment, folder)]
    store = Store()
    try:
        running = Soaks(store).all(running=True)
    finally:
        store.close()
    if not running:
        raise InputError("no soak runs yet, so that nothing shows whether ticks could log in", key="--env", mend="name an environment, or begin with ./inv soak.start")  # fmt: skip
    return [(soak.environment, Path(soak.folder) if soak.folder else None) for soak in running]


def prove(environment: str, folder: Path | None) -> None:
    """Logs in to every host as a scheduler will: without an agent, a terminal, or what a shell has set. Raises Refused."""
    words = [str(ROOT / "inv"), "inventory.ping", "--env", environment, *(["--inventory", str(folder.resolve())] if folder else [])]  # fmt: skip
    user = pwd.getpwuid(os.geteuid())
    bare = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    kept = {name: os.environ[name] for name in schedules.PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(
            words, cwd=ROOT, env=bare | kept, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=PROOF_S, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Refused(
            f"{environment}: no answer in {PROOF_S} s without a terminal", mend="see ./inv inventory.ping"
        ) from None
    if done.returncode:
        lines = [line for line in (*done.stderr.splitlines(), *done.stdout.splitlines()) if line.strip()]
        why = lines[0].removeprefix("error: ") if lines else f"exit {done.returncode}"
        raise Refused(
            f"a scheduled tick could not log in to {environment}: {why}",
            mend="it has no agent and no terminal then: see ansible_ssh_private_key_file, and a passphrase on that key",
        )
