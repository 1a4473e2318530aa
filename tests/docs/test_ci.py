"""The snippets of docs/ci.md, run for real in a git checkout: no network, the tool cloned from these very files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
URL = "https://git.example.com/ops/compose-runbook.git"
WEAK = "services:\n  web:\n    image: acme/web\n    depends_on:\n      - db # stays\n  db:\n    image: postgres:17\n"
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "ci.md").read_text())
GITHUB, GITLAB, HOOK = (YAML(typ="safe").load(text) for kind, text in BLOCKS if kind == "yaml")
PIPES = next(text for kind, text in BLOCKS if kind == "sh").splitlines()
CHANGES = 2


def git(folder: Path, *words: str) -> str:
    names = ["-c", "user.name=ci", "-c", "user.email=ci@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tool's files as they are now, as a repository to clone; its environment is this one, as from a warm cache."""
    folder = tmp_path_factory.mktemp("remote")
    for package in ("cli", "inventory", "rollback", "checks", "runbooks", "requirements"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("inv", "tasks.py", ".gitignore", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / file, folder / file)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a stack that has weak edges."""
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "docker-compose.yml").write_text(WEAK)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "the stack")
    return folder


def run(script: str, folder: Path, remote: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script as a pipeline runs it, with the tool's address leading to the repository here."""
    instead = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{remote}.insteadOf", "GIT_CONFIG_VALUE_0": URL}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), **instead, **variables}
    return subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def warm(tool: Path) -> Path:
    """Gives a clone this environment, so that its first run installs nothing."""
    (tool / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != "runtime.txt":
            (tool / ".venv" / part.name).symlink_to(part)
    shutil.copy(tool / "requirements" / "runtime.txt", tool / ".venv" / "runtime.txt")
    return tool


def github(checkout: Path, remote: Path) -> subprocess.CompletedProcess[str]:
    temporary = checkout.parent / "runner"
    temporary.mkdir(exist_ok=True)
    settings = {"RUNNER_TEMP": str(temporary), "GITHUB_STEP_SUMMARY": str(temporary / "summary.md"), **GITHUB["env"]}
    get, planned = [step["run"] for step in GITHUB["jobs"]["plan"]["steps"] if "run" in step]
    if not (temporary / "compose-runbook").exists():
        assert run(get, checkout, remote, **settings).stderr == ""
        warm(temporary / "compose-runbook")
    assert run(get, checkout, remote, **settings).returncode == 0, "a folder from the cache is taken as it is"
    return run(planned, checkout, remote, **settings)


def gitlab(checkout: Path, remote: Path) -> subprocess.CompletedProcess[str]:
    job: dict[str, Any] = GITLAB["compose-plan"]
    get, *rest = job["script"]
    if not (checkout / ".compose-runbook").exists():
        assert run(get, checkout, remote, **job["variables"]).returncode == 0
        warm(checkout / ".compose-runbook")
    return run("\n".join([get, *rest]), checkout, remote, **job["variables"])


def test_the_github_job_fails_with_the_plan_when_there_are_changes(checkout: Path, remote: Path) -> None:
    ran = github(checkout, remote)
    assert ran.returncode == CHANGES, ran.stderr
    assert "service_healthy" in ran.stdout
    assert "service_healthy" in (checkout.parent / "runner" / "summary.md").read_text()


def test_the_gitlab_job_warns_and_keeps_a_patch_that_git_applies(checkout: Path, remote: Path) -> None:
    ran = gitlab(checkout, remote)
    assert ran.returncode == GITLAB["compose-plan"]["allow_failure"]["exit_codes"] == CHANGES, ran.stderr
    git(checkout, "apply", "phase-1.patch")
    assert "- db # stays" not in (checkout / "docker-compose.yml").read_text()
    assert gitlab(checkout, remote).returncode == 0, "after the patch there is nothing to do"
    assert (checkout / "phase-1.patch").read_text() == ""


def test_a_file_that_compose_would_refuse_fails_both_jobs_with_one_line(checkout: Path, remote: Path) -> None:
    (checkout / "docker-compose.yml").write_text(WEAK.replace("  db:", "\tdb:"))
    for job in (github, gitlab):
        ran = job(checkout, remote)
        assert ran.returncode == 1
        assert ran.stderr.count("docker-compose.yml:6:") == len(ran.stderr.splitlines()) == 1


def test_the_pre_commit_hook_stops_a_commit_that_leaves_something_to_do(checkout: Path, remote: Path) -> None:
    (hook,) = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == HOOK["repos"][0]["hooks"][0]["id"]
    assert (hook["language"], hook["pass_filenames"]) == ("script", False)
    assert all(
        re.search(hook["files"], name) for name in ("docker-compose.yml", "deploy/compose.prod.yaml", "compose.yml")
    )
    git(checkout.parent, "clone", "-q", str(remote), "hooks")
    tool = warm(checkout.parent / "hooks")
    command = " ".join([f"{tool}/{hook['entry']}", *hook["args"]])
    assert run(command, checkout, remote).returncode == CHANGES
    (checkout / "docker-compose.yml").write_text(
        WEAK.replace("    depends_on:\n      - db # stays\n", "").partition("  db:")[0]
    )
    assert run(command, checkout, remote).returncode == 0


@pytest.mark.parametrize("line", PIPES)
def test_each_line_for_pipes_works(line: str, checkout: Path, remote: Path) -> None:
    git(checkout.parent, "clone", "-q", str(remote), "tool")
    ran = run(f"set -o pipefail\n{line}", checkout, remote, RUNBOOK=str(warm(checkout.parent / "tool")))
    assert (ran.returncode, ran.stderr) == (CHANGES, "")
    if "--json" in line:
        assert json.loads((checkout / "plan.json").read_text())["hosts"][0]["changed"]
    elif "apply" in line:
        assert git(checkout, "diff", "--stat").count("docker-compose.yml") == 1
    else:
        assert "service_healthy" in ran.stdout


def test_a_patch_of_a_file_in_a_folder_applies_where_the_plan_was_made(checkout: Path, remote: Path) -> None:
    (checkout / "deploy").mkdir()
    git(checkout, "mv", "docker-compose.yml", "deploy/docker-compose.yml")
    git(checkout.parent, "clone", "-q", str(remote), "tool")
    line = next(line for line in PIPES if "apply" in line).replace("docker-compose.yml", "deploy/docker-compose.yml")
    ran = run(line, checkout, remote, RUNBOOK=str(warm(checkout.parent / "tool")))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "service_healthy" in (checkout / "deploy" / "docker-compose.yml").read_text()
