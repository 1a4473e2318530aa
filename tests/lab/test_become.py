"""A login that may use neither Docker nor the project's folder does a whole migration by sudo, which asks for a password."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inventory import connection, inventory
from inventory.link import Link
from inventory.secrets import Mask
from lab import engine
from lab.state import PROJECT_DIR, LabState
from runbooks import book
from tests.lab.conftest import Practice, Ran

pytestmark = pytest.mark.lab
Inv = Callable[..., Ran]
PASSWORD = "correct-horse-battery"
MAKE = (
    "useradd --create-home --shell /bin/bash clerk && echo clerk:$1 | chpasswd && cp -r /home/deploy/.ssh /home/clerk/.ssh "
    "&& chown -R clerk:clerk /home/clerk/.ssh && printf 'clerk ALL=(ALL) ALL\\n' >/etc/sudoers.d/clerk && chmod 0700 $2"
)
UNMAKE = (
    "chmod 0755 $1; rm -f /etc/sudoers.d/clerk; userdel --remove clerk; rm -rf /var/lib/compose-runbook/reconciliation"
)


class AsRoot(Practice):
    """A practice host of which everything is asked as root."""

    def sh(self, program: str, *args: str, data: bytes = b"") -> str:
        return self.link.run(program, PROJECT_DIR, *args, data=data, timeout_s=180.0, become=True).text


@pytest.fixture(scope="module")
def clerk(lab: LabState, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """A folder with an inventory in which the production host is entered by a clerk, with these lines of variables."""
    container = engine.client().containers.get(lab.container("production-1"))
    assert container.exec_run(["sh", "-c", "rm -rf /var/lib/compose-runbook/reconciliation"]).exit_code == 0
    made = container.exec_run(["sh", "-c", MAKE, "sh", PASSWORD, PROJECT_DIR])
    assert made.exit_code == 0, made.output

    def write(lines: str) -> Path:
        text = (folder / "production.yml").read_text()
        own = tmp_path_factory.mktemp("clerk")
        (own / "clerks.yml").write_text(
            text.replace("        project_dir:", f"        ansible_user: clerk\n{lines}        project_dir:")
        )
        return own

    yield write
    container.exec_run(["sh", "-c", UNMAKE, "sh", PROJECT_DIR])


@pytest.fixture
def link(clerk: Callable[[str], Path]) -> Iterator[Link]:
    own = clerk(f"        ansible_become: true\n        ansible_become_password: {PASSWORD}\n")
    (host,) = inventory.load("clerks", own, book.declared()).hosts
    made = connection.connect(host, Mask())
    yield made
    made.close()


@pytest.mark.parametrize(
    ("code", "lines", "why"),
    [
        (5, "        ansible_become: true\n", "a password is required"),
        (
            5,
            "        ansible_become: true\n        ansible_become_password: wrong-one\n",
            "incorrect password attempts",
        ),
        (1, "", "cannot be entered"),
    ],
)
def test_who_may_not_is_told_so_in_one_line(
    inv: Inv, clerk: Callable[[str], Path], code: int, lines: str, why: str
) -> None:
    own = clerk(lines)
    ran = inv("plan", "--phase", "1", "--env", "clerks", "--inventory", str(own))
    assert ran.code == code, ran.out
    (line,) = ran.err.splitlines()
    assert line.startswith("error: production-1: ") and why in line.lower()
    assert "ansible_become" in line
    assert PASSWORD not in line and "wrong-one" not in line


def test_a_migration_and_its_rollback_by_sudo_leave_every_file_with_its_owner(
    inv: Inv, clerk: Callable[[str], Path], link: Link
) -> None:
    host = AsRoot("production-1", link)
    host.settle()
    before = host.state()
    own = clerk(f"        ansible_become: true\n        ansible_become_password: {PASSWORD}\n")
    words = ("--env", "clerks", "--inventory", str(own))
    ran = inv("migrate", "--phase", "1", *words, "--tags", "conditions", "--yes")
    assert ran.code == 0, ran.out + ran.err
    assert host.state() != before
    assert host.would_recreate() == 0
    assert inv("health", *words).code == 0
    # The state folder belongs to all who may use Docker, not only to root.
    assert host.sh("stat -c '%G %a' /var/lib/compose-runbook/reconciliation").strip() == "docker 2770"
    back = inv("rollback", *words, "--yes")
    assert back.code == 0, back.out + back.err
    assert host.state() == before
    assert PASSWORD not in ran.out + ran.err + back.out + back.err
    assert PASSWORD not in host.sh(
        "cat /var/lib/compose-runbook/reconciliation/journal; ls -R /var/lib/compose-runbook"
    )


def test_the_docker_api_rides_on_the_link_that_is_there_more_often_than_a_server_allows_sessions(
    link: Link, staging: dict[str, Practice]
) -> None:
    for each in (link, staging["staging-1"].link):
        api = each.docker()
        names = [name for _ in range(30) for found in api.containers() for name in found["Names"]]
        assert names.count("/reconciliation-backend") == 30
        assert each.run("echo still here").text == "still here\n"
