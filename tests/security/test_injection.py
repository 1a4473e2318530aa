"""Whatever a service, a path, a variable or a value is called, every program on a host gets it as one word of text."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from checks.model import Probe
from checks.probes import round_
from inventory.connection import LocalLink
from inventory.errors import InputError, Refused
from inventory.model import Host, Project
from rollback.commit import HostWriter, sha256
from rollback.model import FileState, FileWrite, Snapshot, Transaction
from runbooks import ask, private
from runbooks.model import Facts, Question
from runbooks.programs import answers, path_line, program
from runbooks.survey_files import file_stack
from tests.runbooks.compose.material import stack_of
from tests.runbooks.steps.material import container

pytestmark = pytest.mark.slow

HOSTILE = (
    "$(touch pwned)", "`touch pwned`", "a;touch pwned", "a&touch pwned&", "a|touch pwned", "a>pwned", "a'b", 'a"b', "a\\",
    "-rf", "--help", "*", "?", "~root", "${HOME}", "$HOME", "a b", " a", "#a", "!a", "a\tb", "@a", "%s%n", "ü漢", "-", "_", ".",
)  # fmt: skip
"""Names that a shell would obey, split, expand or read as an option, if it were let."""
DOCKER = r"""#!/bin/sh
case $1 in
    ps) while IFS= read -r service; do printf '%s %s\n' "$service" id; done <"${0%/*}/services" ;;
    exec) printf '<%s>' "$@"; printf '{%s}' "${VALUE-}" ;;
esac
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder in which nothing may appear, and a stand-in for docker that prints its words."""
    monkeypatch.chdir(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "docker").write_text(DOCKER)
    (tools / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin:/usr/sbin:/sbin")
    yield tmp_path
    assert not list(tmp_path.rglob("pwned")), "a name was obeyed"


def link_to(folder):
    return LocalLink(Host("here", "here", Project(str(folder)), connection="local"))


def test_a_question_reaches_its_container_word_by_word(here):
    for hostile in HOSTILE:
        stack = stack_of({"compose.yml": "services: {web: {image: x}}"})
        made = replace(container("web"), id="id" + hostile)
        facts = Facts(True, containers={"web": (made,)})
        question = Question("q", "web", ("sh", "-c", hostile, hostile), {"VALUE": hostile})
        found = ask.ask(link_to(here), stack, facts, [question]).answers["q"]
        assert found.output.strip("\n") == f"<exec><-e><VALUE><id{hostile}><sh><-c><{hostile}><{hostile}>{{{hostile}}}"


def test_a_variable_whose_name_a_shell_would_obey_is_never_sent(here):
    for hostile in set(HOSTILE) - {"_"}:
        with pytest.raises(ValueError, match="cannot be a variable"):
            ask.line(Question("q", "web", ("true",), {hostile: "x"}), container("web"))


def test_a_candidate_and_its_commands_stand_in_a_project_of_any_name(here):
    for number, hostile in enumerate(HOSTILE):
        project = here / f"{number}p{hostile}"
        (project / "sub").mkdir(parents=True)
        (project / "sub" / "old").write_text("old")
        words = ("printf", "<%s>", hostile, f"x{hostile}")
        bench = private.Bench(str(project), {"one": words, "two": ("cat", f"@mirror/sub/f{hostile}")},
                              mirrors={"mirror": {f"sub/f{hostile}": b"new"}})  # fmt: skip
        ran = private.run(link_to(project), bench).parts
        if not hostile.startswith("@"):
            assert ran["one"].out.decode() == f"<{hostile}><x{hostile}>"
        assert ran["two"].out == b"new"


def test_a_probe_finds_a_service_of_any_name_and_hands_its_words_on(here):
    for hostile in HOSTILE:
        (here / "tools" / "services").write_text(hostile + "\n")
        inside = Probe("command", "p", hostile, {"command": ["echo", hostile]})
        on_host = Probe(
            "command", "h", "web", {"command": ["sh", "-c", '[ "$1" = "$2" ]', "sh", hostile, hostile], "on_host": True}
        )
        samples = {sample.probe: sample for sample in round_(link_to(here), [inside, on_host], "shop")}
        assert samples["h"].ok is True, samples["h"]
        if " " not in hostile and "\t" not in hostile and "\\" not in hostile:
            assert samples["p"].ok is True, samples["p"]


def test_files_of_any_name_are_read_written_and_undone(here):
    for number, hostile in enumerate(HOSTILE):
        project = here / f"{number}p{hostile}"
        project.mkdir()
        path = f"{project}/f{hostile}x"
        Path(path).write_text("old")
        host = HostWriter(
            link_to(project), str(project), "shop", run="run-1", who=hostile, state_dir=f"{here}/{number}s{hostile}x"
        )
        host.prepare()
        host.lock()
        (state,) = (state for state, _ in host.read([path]).values())
        snapshot = host.commit(
            Transaction("t-1", "run-1", hostile, str(project), (FileWrite(state, b"new"),), note={"n": hostile})
        )
        assert Path(path).read_bytes() == b"new"
        assert host.execute(["printf", "<%s>", hostile], 10).out == f"<{hostile}>".encode()
        assert host.note("kind", {"what": hostile})
        assert [event.data["what"] for event in host.journal() if event.kind == "kind"] == [hostile]
        host.undo(snapshot)
        assert Path(path).read_text() == "old"
        host.release()
        assert sorted(entry.name for entry in project.iterdir()) == [f"f{hostile}x"]


def test_a_survey_reads_paths_of_any_name(here):
    for number, hostile in enumerate(HOSTILE):
        project = here / f"{number}p{hostile}"
        project.mkdir()
        path = f"{project}/f{hostile}x"
        Path(path).write_text("data")
        reply = link_to(project).run(program("survey"), str(project), "--files", data=path_line(path).encode())
        assert answers(reply.out, "here").files == {path: b"data"}


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b"])
def test_a_name_that_no_line_can_hold_is_refused_before_it_is_sent(name):
    with pytest.raises(InputError, match="line break or NUL"):
        path_line(name)
    with pytest.raises(InputError, match="NUL"):
        link_to("/").run("echo", "a\0b")


def test_an_option_that_is_a_hosts_name_reaches_no_ssh(monkeypatch):
    """Programs that log in by name (ssh itself, for a shell on a practice host) take names of the table alone."""
    from lab import commands

    with pytest.raises(InputError, match="is no practice host"):
        commands.ssh("-oProxyCommand=touch pwned")


OUTSIDE = (
    "/etc/passwd",
    "{project}/../victim",
    "{project}/sub/../../victim",
    "{project}/link",
    "{project}/away/victim",
    "victim",
    "",
)


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_snapshot_that_leads_out_of_the_project_restores_nothing(here, path):
    """A state folder is a host's own: what was put into it by others must not make root write elsewhere."""
    project = here / "project"
    (project / "sub").mkdir(parents=True)
    victim = here / "victim"
    victim.write_text("precious")
    (project / "link").symlink_to(victim)
    (project / "away").symlink_to(here)
    host = HostWriter(link_to(project), str(project), "shop", run="run-1", who="eve@laptop", state_dir=f"{here}/state")
    host.prepare()
    host.lock()
    there = path.format(project=project)
    real = Path(there) if there.startswith("/") else victim
    before = real.read_bytes()
    status = real.stat()
    after = FileState(there, sha256(before), status.st_mode & 0o7777, status.st_uid, status.st_gid)
    planted = Snapshot(
        "s-1", "run-0", "s", "now", str(project), (FileState(there, sha256(b"evil"), 0o666, 0, 0),), (after,)
    )
    (here / "state" / "objects" / sha256(b"evil")).write_bytes(b"evil")
    with pytest.raises(Refused):
        host.undo(planted)
    assert (real.read_bytes(), real.stat().st_mode, victim.read_text()) == (before, status.st_mode, "precious")


def test_what_is_kept_on_a_host_is_its_users_alone(here):
    project = here / "project"
    project.mkdir()
    (project / ".env").write_text("PASSWORD=x")
    host = HostWriter(link_to(project), str(project), "shop", run="run-1", who="eve@laptop", state_dir=f"{here}/state")
    host.prepare()
    host.lock()
    (state,) = (state for state, _ in host.read([f"{project}/.env"]).values())
    host.commit(Transaction("t-1", "run-1", "s", str(project), (FileWrite(state, b"PASSWORD=y"),)))
    host.execute(["true"], 10)
    host.note("kind", {})
    kept = list((here / "state").rglob("*"))
    assert len(kept) > 8
    assert [str(path) for path in [here / "state", *kept] if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin", "pipe"])
@pytest.mark.parametrize("text", ["services: {web: {image: x, env_file: [%s]}}", "include: [%s]\nservices: {}",
                                  "services: {web: {extends: {file: %s, service: x}}}"])  # fmt: skip
def test_a_compose_file_that_names_a_device_or_a_pipe_is_refused_at_once(tmp_path, target, text):
    if target == "pipe":
        target = str(tmp_path / "pipe")
        os.mkfifo(target)
    (tmp_path / "compose.yml").write_text(text % target)
    with pytest.raises(InputError, match="is not a regular file"):
        file_stack([tmp_path / "compose.yml"])


def test_no_task_that_only_reads_runs_a_command_of_the_inventory(tmp_path):
    """`from_command` and ssh_config's programs run only where a host is reached; listing an inventory reaches none."""
    (tmp_path / "shop.yml").write_text(
        "all:\n  hosts:\n    a:\n      project_dir: /srv\n      ansible_become: true\n"
        f"      ansible_become_password: {{from_command: touch {tmp_path}/pwned}}\n"
        f"      ansible_ssh_common_args: -o ProxyCommand='touch {tmp_path}/pwned'\n"
    )
    root = Path(__file__).resolve().parents[2]
    for task in ("inventory.list", "inventory.graph"):
        words = [sys.executable, "-m", "invoke", "--search-root", str(root), task, "--env", "shop", "--inventory", str(tmp_path)]  # fmt: skip
        subprocess.run(words, cwd=root, capture_output=True, check=True, timeout=120)
    assert not (tmp_path / "pwned").exists()
