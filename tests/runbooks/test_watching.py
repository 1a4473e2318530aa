"""Watching for real: on a pseudo-terminal, into a log, as JSON, and over a real SSH server that dies and returns."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.inventory.conftest import serve as serve
from tests.inventory.conftest import server_keys as server_keys
from tests.runbooks.fakes import fake_docker

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import json, sys
from pathlib import Path
from checks.model import Probe
from inventory.errors import RunbookError
from runbooks.commands import watching
from runbooks.output import Output

watching.EVERY_S, watching.LOOK_AGAIN_S = 0.3, 0.3
folder, environment, as_json = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "json"

def probes(link, host, mask):
    # What a survey would find; the engine is a stand-in.
    return (Probe("container", "container:db", "db"), Probe("container", "container:web", "web")), host.name

raise SystemExit(watching.watch(Output(as_json=as_json), environment, probes, folder=folder))
"""


class Watch:
    """A watch in a process of its own; on a pseudo-terminal where `columns` are given."""

    def __init__(self, folder, columns=0, form="text", **environment):
        words = [sys.executable, "-c", DRIVER, str(folder), "shop", form]
        env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
        env.pop("COLUMNS", None)
        self.seen = ""
        if columns:
            self.control, terminal = pty.openpty()
            import fcntl
            import termios

            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
            self.before = termios.tcgetattr(terminal)
            self.terminal = terminal
            # A session whose terminal it is, so that Ctrl-C reaches it as it does from a keyboard.
            words = ["setsid", "--ctty", *words]
            self.child = subprocess.Popen(words, cwd=ROOT, env=env, stdin=terminal, stdout=terminal, stderr=terminal)
            self.source = self.control
        else:
            self.child = subprocess.Popen(
                words, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            self.source = self.child.stdout.fileno()

    def until(self, pattern, seconds=120):
        """Reads until a pattern was seen; returns all since the last one."""
        begin, limit = len(self.seen), time.monotonic() + seconds
        while not re.search(pattern, self.seen[begin:]):
            ready, _, _ = select.select([self.source], [], [], max(0, limit - time.monotonic()))
            part = os.read(self.source, 65536) if ready else b""
            assert part, f"{pattern!r} was not seen in {self.seen[begin:][-3000:]!r}"
            self.seen += part.decode("utf-8", "replace")
        return self.seen[begin:]

    def end(self):
        """The exit code; what is still said is read meanwhile, as a full pipe would hold the program."""

        def drain():
            try:
                while part := os.read(self.source, 65536):
                    self.seen += part.decode("utf-8", "replace")
            except OSError:
                return

        thread = threading.Thread(target=drain, daemon=True)
        thread.start()
        code = self.child.wait(120)
        if hasattr(self, "terminal"):
            import termios

            self.after = termios.tcgetattr(self.terminal)
            os.close(self.terminal)
        thread.join(10)
        return code


@pytest.fixture
def docker(tmp_path, monkeypatch):
    return fake_docker(tmp_path / "docker", monkeypatch)


@pytest.fixture
def inventories(tmp_path, docker):
    """An inventory with a local host whose Compose file says how its services are, and more lines where they are given."""

    def write(more="", local=True):
        project = tmp_path / "web-1"
        project.mkdir(exist_ok=True)
        (project / "docker-compose.yml").write_text("services: {}\n")
        docker.project("web-1", project)
        folder = tmp_path / "inventories"
        folder.mkdir(exist_ok=True)
        first = f"    web-1:\n      ansible_connection: local\n      project_dir: {project}\n" if local else ""
        (folder / "shop.yml").write_text(f"all:\n  hosts:\n{first}{more}")
        return folder

    return write


@pytest.fixture
def watches():
    started = []

    def start(*args, **more):
        started.append(Watch(*args, **more))
        return started[-1]

    yield start
    for each in started:
        if each.child.poll() is None:
            each.child.kill()
            each.child.wait(30)


def break_(tmp_path, words="# web is unhealthy"):
    (tmp_path / "web-1" / "docker-compose.yml").write_text(f"services: {{}}\n{words}\n")


def test_the_live_screen_turns_with_the_services_heeds_keys_and_leaves_the_terminal_as_it_was(
    inventories, watches, tmp_path
):
    found = watches(inventories(), columns=120)
    found.until("● healthy")
    break_(tmp_path)
    found.until("✗ unhealthy")
    os.write(found.control, b"f")
    found.until("f: all")
    break_(tmp_path, "")
    found.until("unhealthy -> .{0,12}healthy|2 healthy")
    os.write(found.control, b"q")
    assert found.end() == 0
    assert found.after == found.before
    assert "\x1b[?1049h" in found.seen and "\x1b[?1049l" in found.seen and "Traceback" not in found.seen


def test_leaving_by_ctrl_c_is_no_error_and_the_exit_code_says_how_it_stood(inventories, watches, tmp_path):
    break_folder = inventories()
    break_(tmp_path)
    found = watches(break_folder, columns=80, NO_COLOR="1")
    seen = found.until("✗ unhealthy")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", seen)  # no colour
    os.write(found.control, b"\x03")
    assert found.end() == 3
    assert "Traceback" not in found.seen and found.after == found.before


def test_without_a_terminal_every_service_is_a_line_and_then_every_turn_is(inventories, watches, tmp_path):
    found = watches(inventories())
    first = found.until(r"2 services on 1 host\(s\): 2 healthy")
    assert "web-1 db  healthy" in first and "\x1b" not in first
    break_(tmp_path)
    assert re.search(r"T[0-9:]{8}Z  web-1 web  healthy -> unhealthy: unhealthy\n", found.until("web-1 web  .*\n"))
    found.child.send_signal(signal.SIGINT)
    assert found.end() == 3


def test_as_json_each_line_is_a_document_of_all_hosts(inventories, watches):
    found = watches(inventories(), form="json")
    lines = found.until(r'(?s)"web-1".*\n.*\n').splitlines()
    documents = [json.loads(line) for line in lines if line.endswith("}")]
    last = documents[-1]
    assert set(last) == {"at", "hosts"} and last["hosts"]["web-1"]["services"]["db"]["status"] == "healthy"
    found.child.send_signal(signal.SIGINT)
    assert found.end() == 0


def test_a_host_that_dies_is_said_so_the_others_go_on_and_its_return_is_seen(
    inventories, watches, serve, tmp_path, docker
):
    server = serve(f"SetEnv PATH={os.environ['PATH']}")
    known = server.known("{here} " + server.public())
    docker.project("far-1", tmp_path / "web-1")
    far = (
        f"    far-1:\n      ansible_host: 127.0.0.1\n      ansible_port: {server.port}\n      ansible_user: root\n"
        f"      ansible_ssh_private_key_file: {server.folder}/login\n      project_dir: {tmp_path}/web-1\n"
        f"      ansible_ssh_common_args: -F /dev/null -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=/dev/null\n"
    )
    found = watches(inventories(far))
    found.until(r"4 services on 2 host\(s\): 4 healthy")
    os.kill(server.pid, signal.SIGSTOP)  # nobody new is let in
    for pid in server.sessions():
        os.kill(pid, signal.SIGKILL)
    assert re.search(r"far-1  healthy -> no answer: ", found.until(r"far-1  .*\n"))
    break_(tmp_path)
    found.until("web-1 web  healthy -> unhealthy")
    break_(tmp_path, "")
    os.kill(server.pid, signal.SIGCONT)
    found.until("far-1  no answer -> healthy")
    found.child.send_signal(signal.SIGINT)
    found.end()
    assert "Traceback" not in found.seen
