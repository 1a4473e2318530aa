"""Compose's command line for a project, as a list."""

from __future__ import annotations

import pytest

from inventory.engine import Compose, absolute
from inventory.errors import InputError
from inventory.model import Project

START = [
    "docker",
    "compose",
    "--ansi",
    "never",
    "--progress",
    "plain",
    "-p",
    "shop",
    "--project-directory",
    "/srv/shop",
]


@pytest.mark.parametrize(
    ("compose", "options"),
    [
        (Compose("/srv/shop", "shop"), []),
        (Compose("/srv/shop", "shop", ("/srv/shop/a.yml", "/b.yml")), ["-f", "/srv/shop/a.yml", "-f", "/b.yml"]),
        (Compose("/srv/shop", "shop", (), ("/e",), ("web", "*")), ["--env-file", "/e", "--profile", "web", "--profile", "*"]),
        (
            Compose("/srv/shop", "shop", ("/a b",), ("/-e",), ("$x",)),
            ["-f", "/a b", "--env-file", "/-e", "--profile", "$x"],
        ),
    ],
)  # fmt: skip
def test_options_stand_before_the_command_in_composes_order(compose: Compose, options: list[str]) -> None:
    assert list(compose.argv("up", "-d", "web")) == [*START, *options, "up", "-d", "web"]


@pytest.mark.parametrize(
    ("directory", "path", "found"),
    [
        ("/srv/shop", "a.yml", "/srv/shop/a.yml"),
        ("/srv/shop", "./a.yml", "/srv/shop/a.yml"),
        ("/srv/shop", "sub/a b.yml", "/srv/shop/sub/a b.yml"),
        ("/srv/shop", "/etc/a.yml", "/etc/a.yml"),
        ("/srv/shop", "../a.yml", "/srv/shop/../a.yml"),
        ("/", "a.yml", "/a.yml"),
        ("/srv/shop/", "a.yml", "/srv/shop/a.yml"),
    ],
)
def test_a_path_of_a_project_is_absolute_on_the_host(directory: str, path: str, found: str) -> None:
    assert absolute(Project(directory), path) == found


@pytest.mark.parametrize("path", ["a\nb", "a\rb", "a\0b", "/a\n"])
def test_a_path_that_no_line_can_hold_is_bad_input(path: str) -> None:
    with pytest.raises(InputError, match="line break or NUL"):
        absolute(Project("/srv"), path)
