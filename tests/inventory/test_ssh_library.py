"""What is loaded with Fabric, and that nobody else notices what was left out."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from inventory.ssh_library import Descriptions


def said(program: str) -> list[str]:
    """What a fresh interpreter prints, word by word."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_paramiko_knows_its_version_without_the_reader_of_descriptions() -> None:
    version, *loaded = said(
        "import sys; from inventory import ssh_library; ssh_library.load(); import paramiko; "
        "print(paramiko.Transport._CLIENT_ID, *({'importlib.metadata', 'email', 'csv'} & set(sys.modules)))"
    )
    assert (version, loaded) == (f"paramiko_{importlib.metadata.version('paramiko')}", [])


@pytest.mark.parametrize(
    "asked",
    [
        "import importlib.metadata; print(importlib.metadata.__file__)",
        "from importlib import metadata; print(metadata.__file__)",
        "from importlib.metadata import PackageNotFoundError; print(PackageNotFoundError.__module__)",
    ],
)
@pytest.mark.parametrize("before", ["", "import importlib.metadata; "])
def test_others_get_the_module_itself_afterwards(asked: str, before: str) -> None:
    loading = f"{before}from inventory import ssh_library; ssh_library.load(); "
    assert said(loading + asked) == said(asked)


def test_a_package_that_is_not_there_is_refused_as_python_does() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        Descriptions("importlib.metadata").version("no-such-package")


def test_what_else_is_asked_meanwhile_is_answered_by_the_module_itself() -> None:
    stand = Descriptions("importlib.metadata")
    assert stand.distribution("fabric").version == stand.version("fabric") == importlib.metadata.version("fabric")
