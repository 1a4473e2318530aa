"""How a survey reads files: without a copy, so what happens to a file meanwhile must be told from what was read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from inventory.errors import HostFailed, InputError
from lab.proof.shell import SHELLS, ShellLink
from runbooks.programs import Answers, answers, path_line, program

LARGEST = 2 << 20
Read = Callable[..., Answers]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    made.mkdir()
    return made


@pytest.fixture(params=SHELLS)
def read(request: pytest.FixtureRequest, project: Path) -> Read:
    """Surveys files of the project in one shell. `meanwhile`: what happens to a file, `$3`, when its size is known."""
    if not shutil.which(SHELLS[request.param][0]):
        pytest.skip(f"{request.param} is not on this machine")

    def survey(*names: str, meanwhile: str = ":", **environment: str) -> Answers:
        before = f'head() {{ {meanwhile}; command head "$@"; }}\n'
        link = ShellLink(project, request.param, before=before, more=environment)
        data = "".join(path_line(str(project / name)) for name in names).encode()
        reply = link.run(program("survey"), str(project), "--files", data=data)
        assert reply.exit == 0, reply
        return answers(reply.out, "here")

    return survey


def test_every_byte_mode_and_sum_is_that_of_the_file(read: Read, project: Path) -> None:
    texts = {"empty": b"", "no-end": b"a: 1", "any": bytes(range(256)) * 9, "breaks": b"\n\n", "large": b"x" * LARGEST}
    for number, (name, data) in enumerate(texts.items()):
        (project / name).write_bytes(data)
        (project / name).chmod(0o600 + number)
    found = read(*texts, "absent")
    assert {Path(path).name: data for path, data in found.files.items()} == texts
    assert found.absent == {str(project / "absent")}
    for number, (name, data) in enumerate(texts.items()):
        state = found.states[str(project / name)]
        assert (state.sha256, state.mode, state.uid) == (sha256(data).hexdigest(), 0o600 + number, os.getuid())


def test_nothing_is_written_to_read_a_file(read: Read, project: Path) -> None:
    (project / "a").write_text("a: 1\n")
    assert list(read("a", TMPDIR="/nonexistent").files.values()) == [b"a: 1\n"]


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("b", "a"), ("a", "absent")])
@pytest.mark.parametrize("left", [0, 1, 90])
def test_a_file_that_shrinks_meanwhile_is_never_taken_for_another(
    read: Read, project: Path, names: tuple[str, ...], left: int
) -> None:
    for name in "ab":
        (project / name).write_bytes(b"key: value\n" * 9)
    with pytest.raises(HostFailed, match="cut off or cannot be understood"):
        read(*names, meanwhile=f'case $3 in */a) truncate -s {left} "$3" ;; esac')


def test_of_a_file_that_grows_meanwhile_the_beginning_is_read(read: Read, project: Path) -> None:
    """Its sum is not that of the file, so that a plan made from it writes nothing."""
    for name in "ab":
        (project / name).write_bytes(b"key: value\n")
    found = read("a", "b", meanwhile='echo more >>"$3"')
    assert set(found.files.values()) == {b"key: value\n"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda path: path.write_bytes(b"x" * (LARGEST + 1)), "larger than 2 MiB"),
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: path.symlink_to("/etc/hostname"), "out of the project's folder"),
    ],
)
def test_what_cannot_be_read_is_said(read: Read, project: Path, made: Callable[[Path], None], said: str) -> None:
    made(project / "odd")
    with pytest.raises(InputError, match=said):
        read("odd")


def test_a_folder_that_is_not_there_is_said_as_the_shell_says_it(read: Read, project: Path) -> None:
    project.rmdir()
    part = read("a").parts["folder"]
    assert part.exit == 1
    assert str(project) in part.complaint
