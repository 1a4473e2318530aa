"""What the lab installs on the machine that it runs on: programs on PATH stand in for apt and dpkg, and write down what they hear."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inventory.errors import RunbookError
from lab import engine, packages
from lab.engine import NoEngine

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but the stand-ins; the file that they write to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("apt-get", "dpkg"):
        program(
            folder / name,
            f'echo {name} "$@" >>{tmp_path}/heard; case "$*" in *"${{FAILS:-none}}"*) echo "E: no way" >&2; exit 100 ;; esac',
        )
    monkeypatch.setenv("PATH", str(folder))
    return tmp_path / "heard"


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@needs_root
@pytest.mark.parametrize(
    ("there", "wanted"),
    [((), "docker.io iptables"), (("dockerd",), "iptables"), (("iptables",), "docker.io")],
    ids=["nothing", "an installation that broke off before iptables", "no engine"],
)
def test_an_engine_s_packages_are_installed_until_all_are_there(
    heard: Path, there: tuple[str, ...], wanted: str
) -> None:
    for name in there:
        program(heard.parent / "bin" / name, "")
    engine.install()
    lines = heard.read_text().splitlines()
    assert lines[0] == "dpkg --configure -a"
    assert lines[-1].endswith(f"install -y --no-install-recommends {wanted}")


@needs_root
def test_where_all_is_there_nothing_is_installed(heard: Path) -> None:
    for name in engine.PROGRAMS:
        program(heard.parent / "bin" / name, "")
    engine.install()
    assert not heard.exists()


@needs_root
@pytest.mark.parametrize(("fails", "ends"), [("update", True), ("install", True), ("--configure", False)])
def test_an_installation_that_fails_says_so_in_its_own_words(
    heard: Path, monkeypatch: pytest.MonkeyPatch, fails: str, ends: bool
) -> None:
    # What another installation holds up at this moment is waited for by apt itself.
    monkeypatch.setenv("FAILS", fails)
    if not ends:
        packages.apt_install("busybox")
        return
    with pytest.raises(RunbookError, match=f"apt-get .*{fails}.* failed: E: no way"):
        packages.apt_install("busybox")


def test_who_is_not_root_is_told_what_works_without_an_engine(heard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NoEngine, match=r"needs docker.io, iptables, .*plan --phase 1 --file"):
        engine.install()
    program(heard.parent / "bin" / "dockerd", "")
    with pytest.raises(NoEngine, match="starting one needs root"):
        engine.install()
    assert not heard.exists()
