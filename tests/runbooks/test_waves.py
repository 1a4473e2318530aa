"""The program of a wave, run for real by a shell with a `docker` that writes down what it was asked."""

import os
import shutil
import subprocess
import time

import pytest

from inventory.engine import Compose
from inventory.link import Reply
from runbooks.waves import NEEDS_S, SLACK_S, UP, Wave, bring_up, command
from tests.runbooks.fakes import fake_docker

SHELLS = [[name, *more] for name, *more in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(name)]


class Shell:
    """Runs journalled commands as the host's program does: each word is one, in the project's folder."""

    def __init__(self, folder, shell=("sh",)):
        self.folder, self.shell, self.limits, self.argvs = folder, list(shell), [], []

    def execute(self, argv, timeout_s, about=""):
        assert argv[0] == "sh"
        assert not any("\n" in word for word in argv), "a word with a line break cannot be journalled"
        self.limits.append(timeout_s)
        self.argvs.append(argv)
        begin = time.monotonic()
        done = subprocess.run(
            [*self.shell, *argv[1:]],
            cwd=self.folder,
            capture_output=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Reply(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)


@pytest.fixture
def docker(tmp_path, monkeypatch):
    made = fake_docker(tmp_path / "docker", monkeypatch, "db pool web")
    folder = tmp_path / "a project's folder"
    folder.mkdir()
    (folder / "docker-compose.yml").write_text("services: {}\n")
    made.project("shop", folder)
    return made


@pytest.fixture
def compose(tmp_path):
    return Compose(str(tmp_path / "a project's folder"), "shop", ("docker-compose.yml",), (".env",), ("x",))


def carried_out(compose, waves, shell=("sh",), stopped=lambda: False):
    told = []
    host = Shell(compose.directory, shell)
    well = bring_up(host, compose, waves, report=told.append, stopped=stopped)
    return well, told, host


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_each_service_is_created_among_its_dependencies_and_started_alone_in_order(docker, compose, shell):
    well, told, host = carried_out(compose, [Wave("db", 60), Wave("pool", 61.2), Wave("web", 5)], shell)
    assert well
    assert [(brought.service, brought.ok, brought.output) for brought in told] == [
        ("db", True, ""), ("pool", True, ""), ("web", True, ""),
    ]  # fmt: skip
    usual = f"compose --ansi never --progress plain -p shop --project-directory {compose.directory}"
    usual += " -f docker-compose.yml --env-file .env --profile x up --no-build --pull never"
    assert [line for line in docker.asked if line.startswith("compose ")] == [
        f"{usual} --no-start -- db",
        f"{usual} -d --no-deps --no-recreate --wait --wait-timeout 60 -- db",
        f"{usual} --no-start -- pool",
        f"{usual} -d --no-deps --no-recreate --wait --wait-timeout 62 -- pool",
        f"{usual} --no-start -- web",
        f"{usual} -d --no-deps --no-recreate --wait --wait-timeout 5 -- web",
    ]
    assert host.limits == [60 + SLACK_S, 61.2 + SLACK_S, 5 + SLACK_S]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_a_container_for_which_compose_sees_no_reason_is_made_anew_when_asked(docker, compose, shell):
    well, *_ = carried_out(compose, [Wave("web", 5, renew=True)], shell)
    assert well
    made, started = (line.partition(" --pull never ")[2] for line in docker.asked if " up " in line)
    assert made == "--force-recreate --no-start -- web"
    assert started == "-d --no-deps --no-recreate --wait --wait-timeout 5 -- web"


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_the_first_that_fails_ends_the_waves_with_composes_own_words(docker, compose, shell):
    docker.tell("down-pool")
    well, told, _ = carried_out(compose, [Wave("db", 60), Wave("pool", 60), Wave("web", 60)], shell)
    assert not well
    assert [(brought.service, brought.ok) for brought in told] == [("db", True), ("pool", False)]
    assert told[1].output == "container shop-pool-1 is unhealthy"
    assert docker.ups == ["db", "pool"]


def status(text):
    return f"Up 3 minutes {text}".strip()


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_what_a_service_needs_is_waited_for_before_anything_is_done_to_the_service(docker, compose, shell):
    docker.tell("services", "db db pool web")
    lines = [status("(healthy)"), status("(health: starting)"), status("(unhealthy)"), "Restarting (1) 2 seconds ago"]
    docker.tell("status-db", "".join(f"{line}\n" for line in lines))
    docker.tell("status-pool", status(""))  # no check: it is not asked for more than to run
    well, told, host = carried_out(compose, [Wave("web", 60, needs=("db", "pool"))], shell)
    assert (well, told[0].output) == (True, "")
    ups = [number for number, line in enumerate(docker.asked) if " up " in line]
    looks = [number for number, line in enumerate(docker.asked) if "{{.Status}}" in line]
    assert len(looks) == 3  # one of two starts; one is unwell and one restarts; all are well
    assert max(looks) < min(ups)
    assert host.limits == [60 + SLACK_S + NEEDS_S]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize(
    "said",
    [status("(unhealthy)"), status("(health: starting)"), status("(Paused)"), "Restarting (1) 2 seconds ago", ""],
)
def test_a_service_whose_need_does_not_get_well_is_not_touched_and_one_line_says_why(docker, compose, shell, said):
    docker.tell("services", "db pool web" if said else "pool web")
    docker.tell("status-db", said)
    well, told, _ = carried_out(compose, [Wave("web", 0, needs=("pool", "db")), Wave("pool", 5)], shell)
    assert not well
    why = "web was not touched: after 0 s what it needs is not well: db: " + (said or "not running")
    assert [each.output for each in told] == [why]
    assert not any(line.startswith("compose ") for line in docker.asked)


def test_all_that_is_not_well_is_in_the_line(docker, compose):
    docker.tell("services", "db web")
    docker.tell("status-db", status("(unhealthy)"))
    _, told, _ = carried_out(compose, [Wave("web", 0, needs=("db", "pool"))])
    assert told[0].output.endswith(" is not well: db: Up 3 minutes (unhealthy); pool: not running")


def test_a_service_that_nobody_needs_may_be_unwell(docker, compose):
    docker.tell("status-pool", status("(unhealthy)"))
    well, *_ = carried_out(compose, [Wave("web", 5, needs=("db",))])
    assert well


def test_needs_cannot_be_asked_of_an_engine_that_is_away(docker, compose):
    docker.tell("away")
    well, told, _ = carried_out(compose, [Wave("web", 5, needs=("db",))])
    assert not well
    assert "Cannot connect to the Docker daemon" in told[0].output


def test_an_operator_who_stops_ends_the_waves_between_two_services(docker, compose):
    count = iter([False, True])
    well, told, _ = carried_out(compose, [Wave("db", 60), Wave("web", 60)], stopped=lambda: next(count))
    assert well
    assert [brought.service for brought in told] == ["db"]


@pytest.mark.parametrize(("scale", "count"), [(None, 0), (0, 2), (1, 2), (3, 2)])
def test_a_service_keeps_its_scale_in_both_commands(docker, compose, scale, count):
    carried_out(compose, [Wave("web", 60, scale)])
    assert sum(f" --scale web={scale} " in line for line in docker.asked) == count


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_what_it_depends_on_keeps_the_containers_that_an_operator_added(docker, compose, shell):
    docker.tell("services", "db db db web web pool other other")
    docker.tell("apart", "other")  # nothing that is brought up depends on it: Compose refuses its name
    well, *_ = carried_out(compose, [Wave("web", 5)], shell)
    assert well
    made, started = (line.partition(" up ")[2] for line in docker.asked if " up " in line and "--dry-run" not in line)
    assert made == "--no-build --pull never --scale db=3 --no-start -- web"
    assert "--scale" not in started


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_a_service_with_a_check_of_its_own_is_up_when_all_its_containers_answer(docker, compose, shell, tmp_path):
    said = tmp_path / "said"
    check = ("sh", "-c", f"printf '%s|' \"$@\" >>'{said}'", "-", "it's $(x)", 'a "b"\nc', "")
    well, *_ = carried_out(compose, [Wave("web", 5, answers=check)], shell)
    assert well
    assert said.read_text() == 'it\'s $(x)|a "b"\nc||'
    assert not any("--wait" in line for line in docker.asked)
    asked = next(line for line in docker.asked if line.startswith("ps -q "))
    for part in ("project=shop", "service=web", "oneoff=False"):
        assert f"--filter label=com.docker.compose.{part}" in asked


def test_a_service_that_does_not_answer_in_time_is_not_up(docker, compose):
    well, told, _ = carried_out(compose, [Wave("web", 0.5, answers=("false",))])
    assert not well
    assert told[0].output.endswith("web does not answer")


def test_a_check_that_comes_good_later_is_waited_for(docker, compose, tmp_path):
    tries = tmp_path / "tries"
    check = ("sh", "-c", f"echo x >>'{tries}'; [ $(wc -l <'{tries}') -ge 3 ]")
    well, *_ = carried_out(compose, [Wave("web", 10, answers=check)])
    assert well
    assert len(tries.read_text().splitlines()) == 3


def test_an_engine_that_is_away_fails_the_wave(docker, compose):
    docker.tell("away")
    well, told, _ = carried_out(compose, [Wave("web", 5, answers=("true",))])
    assert not well
    assert "Cannot connect to the Docker daemon" in told[0].output


def test_a_name_that_a_shell_could_read_otherwise_stays_one_word(docker, compose, tmp_path):
    odd = "$(touch made);`touch made`"
    argv = command(Compose(compose.directory, "shop", (f"a {odd}.yml",)), Wave(odd, 1))
    subprocess.run(argv, cwd=tmp_path, check=False, capture_output=True)
    assert not (tmp_path / "made").exists()
    first = next(line for line in docker.asked if line.startswith("compose "))
    assert f"-f a {odd}.yml" in first
    assert first.endswith(f"-- {odd}")


def test_the_program_is_one_line_since_each_journalled_word_is_one():
    assert "\n" not in UP
    assert os.linesep not in UP
