"""The tools that do the work: the floor, this tool, and its peers, each as one command line for one piece of work.

The peers get the least work that keeps a file safe: one task that replaces and keeps a backup. They take no lock, keep
no journal, watch nothing afterwards and sync nothing, all of which this tool and the floor do.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fleet import environments, ours, work
from benchmarks.fleet.servers import Fleet, user

Command = tuple[list[str], Mapping[str, str], Path]
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Tool:
    """A tool: `prepare` writes what it needs once; `command` is the command line, environment and folder for a piece of work."""

    name: str
    prepare: Callable[[Fleet], None]
    command: Callable[[Fleet, str, int], Command]
    counts: bool = False
    """Whether it counts its own exchanges."""


def nothing(_up: Fleet) -> None:
    """Nothing to prepare."""


def floor(up: Fleet, what: str, forks: int) -> Command:
    """Fabric, one connection and one exec a host; file operations and syncs as in a run."""
    before, after = (work.AFTER, work.BEFORE) if what == "roll back" else (work.BEFORE, work.AFTER)
    if what == "nothing":
        before = work.AFTER
    digests = (work.digest(before), work.digest(after))
    hosts = [
        {"port": port, "data": "" if what == "nothing" else after,
         "words": [up.seen(name, up.project(name)), work.FILE, up.seen(name, up.state(name)), f"run-{what[:1]}", *digests, f"{work.MODE:o}"]}
        for name, port in zip(up.names, up.ports, strict=True)
    ]  # fmt: skip
    job = {"user": user(), "key": str(up.key), "known_hosts": str(up.known_hosts), "forks": forks,
           "what": "check" if what == "nothing" else "apply", "hosts": hosts}  # fmt: skip
    (up.folder / "job.json").write_text(json.dumps(job))
    return [sys.executable, "-m", "benchmarks.fleet.floor", str(up.folder / "job.json")], dict(os.environ), ROOT


def runbook(up: Fleet, what: str, forks: int) -> Command:
    """This tool, the whole command."""
    return ours.words(up, what, "--forks", str(forks)), ours.environment(up), ROOT


def prepare_pyinfra(up: Fleet) -> None:
    """An inventory and two deploys."""
    folder = up.folder / "pyinfra"
    folder.mkdir()
    hosts = [
        (f"@ssh/{name}", {"ssh_hostname": "127.0.0.1", "ssh_port": port, "ssh_user": user(), "ssh_key": str(up.key),
                          "ssh_known_hosts_file": str(up.known_hosts), "file": up.seen(name, up.project(name) / work.FILE)})
        for name, port in zip(up.names, up.ports, strict=True)
    ]  # fmt: skip
    plain = [(name.removeprefix("@ssh/"), data) for name, data in hosts]
    (folder / "inventory.py").write_text(f"fleet = {plain!r}\n")
    replace = "files.replace(name='edges', path=host.data.file, text={!r}, replace={!r}, backup={})\n"
    head = "from pyinfra import host\nfrom pyinfra.operations import files\n\n"
    (folder / "apply.py").write_text(head + replace.format(work.WEAK, work.STRONG, True))
    (folder / "back.py").write_text(head + replace.format(work.STRONG, work.WEAK, False))


def pyinfra(up: Fleet, what: str, forks: int) -> Command:
    """pyinfra's `files.replace`."""
    program = environments.python("peers-pyinfra").parent / "pyinfra"
    deploy = "back.py" if what == "roll back" else "apply.py"
    words = [str(program), "-y", "--parallel", str(forks), "inventory.py", deploy]
    return words, dict(os.environ), up.folder / "pyinfra"


def prepare_ansible(up: Fleet) -> None:
    """An inventory, two playbooks, and settings: as it comes, tuned, and with Mitogen."""
    folder = up.folder / "ansible"
    folder.mkdir()
    common = f"-F /dev/null -o UserKnownHostsFile={up.known_hosts} -o GlobalKnownHostsFile=/dev/null"
    hosts = {
        name: {"ansible_port": port, "file": up.seen(name, up.project(name) / work.FILE)}
        for name, port in zip(up.names, up.ports, strict=True)
    }
    common_vars = {"ansible_host": "127.0.0.1", "ansible_user": user(), "ansible_ssh_private_key_file": str(up.key),
                   "ansible_ssh_common_args": common, "ansible_python_interpreter": sys.executable}  # fmt: skip
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": common_vars}}))
    for name, old, new, backup in (("apply", work.WEAK, work.STRONG, True), ("back", work.STRONG, work.WEAK, False)):
        task = {"ansible.builtin.replace": {"path": "{{ file }}", "regexp": old, "replace": new, "backup": backup}}
        play = {"hosts": "all", "gather_facts": False, "tasks": [task]}
        (folder / f"{name}.json").write_text(json.dumps([play]))


def ansible(*, tuned: bool = True, mitogen: bool = False) -> Callable[[Fleet, str, int], Command]:
    """ansible-core: tuned is with pipelining; Mitogen replaces the strategy."""

    def command(up: Fleet, what: str, forks: int) -> Command:
        python = environments.python("peers-mitogen")
        # A run begins without connections of the one before, as an operator's first of the day does.
        sockets = up.folder / "ansible" / f"cp-{len(list((up.folder / 'ansible').glob('cp-*')))}"
        sockets.mkdir()
        more = {"ANSIBLE_FORKS": str(forks), "ANSIBLE_PIPELINING": str(tuned), "ANSIBLE_LOCAL_TEMP": str(sockets),
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(sockets),
                "ANSIBLE_DEPRECATION_WARNINGS": "False", "LC_ALL": "C.UTF-8", "ANSIBLE_TIMEOUT": "60",
                "PATH": f"{python.parent}:{os.environ['PATH']}"}  # fmt: skip
        if mitogen:
            plugins = next(python.parent.parent.glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy"))
            more |= {"ANSIBLE_STRATEGY_PLUGINS": str(plugins), "ANSIBLE_STRATEGY": "mitogen_linear"}
        book = "back.json" if what == "roll back" else "apply.json"
        words = [str(python.parent / "ansible-playbook"), "-i", "hosts.json", book]
        return words, dict(os.environ) | more, up.folder / "ansible"

    return command


def end_masters(up: Fleet) -> None:
    """Ends the connections that Ansible keeps after a run, by their own control sockets."""
    import subprocess

    for socket in (up.folder / "ansible").glob("cp-*/*"):
        if socket.is_socket():
            words = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={socket}", "-O", "exit", "127.0.0.1"]
            subprocess.run(words, capture_output=True, check=False)
    for folder in (up.folder / "ansible").glob("cp-*/*"):
        shutil.rmtree(folder, ignore_errors=True)


TOOLS = (
    Tool("floor (Fabric)", nothing, floor),
    Tool("compose-runbook", lambda up: (ours.inventory(up), None)[1], runbook, counts=True),
    Tool("pyinfra", prepare_pyinfra, pyinfra),
    Tool("Mitogen", nothing, ansible(mitogen=True)),
    Tool("ansible tuned", prepare_ansible, ansible()),
    Tool("ansible as it comes", nothing, ansible(tuned=False)),
)
