"""Local files as Compose finds and reads them: the folder's own, and what the shell has set."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.errors import InputError
from runbooks.survey_files import file_stack

TEXT = "services:\n  web:\n    image: acme/web:${TAG:?which one}\n    profiles: [extra]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "compose.yml").write_text(TEXT)
    return tmp_path / "compose.yml"


def test_a_required_variable_may_come_from_the_shell(file: Path) -> None:
    with pytest.raises(InputError, match="required variable TAG"):
        file_stack([file])
    assert file_stack([file], environment={"TAG": "2"}).services["web"].image == "acme/web:2"


def test_the_shell_wins_over_the_env_file(file: Path) -> None:
    (file.parent / ".env").write_text("TAG=1\n")
    assert file_stack([file]).services["web"].image == "acme/web:1"
    assert file_stack([file], environment={"TAG": "2"}).services["web"].image == "acme/web:2"


def test_the_shell_may_choose_profiles(file: Path) -> None:
    assert not file_stack([file], environment={"TAG": "2"}).services["web"].active
    assert file_stack([file], environment={"TAG": "2", "COMPOSE_PROFILES": "other,extra"}).services["web"].active


def test_a_folder_is_read_as_compose_chooses_its_files(file: Path) -> None:
    (file.parent / "compose.override.yml").write_text("services: {web: {image: acme/other}}\n")
    assert file_stack([file.parent], environment={"TAG": "2"}).services["web"].image == "acme/other"
