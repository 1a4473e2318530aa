"""The real `ansible-inventory` is asked about the same inventories: `--list`, `--graph` and `--limit` must agree.

Ansible lives in an environment of its own, made once outside the repository (RUNBOOK_TEST_CACHE), from a hash lock.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inventory import inventory, selection
from inventory.errors import RunbookError
from lab import environments

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
ROUNDS = 12
WORDS = (
    "text",
    "yes",
    "Off",
    "1:30",
    "0o17",
    "017",
    "1e3",
    "08",
    "1.5",
    "~",
    "'no'",
    "[a, yes]",
    "{k: on}",
    "0x1f",
    "1_000",
)

FOLDERS = {
    "shop.yml": """
all:
  vars: {project_dir: /srv/a, v1: all-inline, v2: all-inline, <<: {v0: merged, v1: merged}}
  children:
    web:
      vars: {v1: web-inline}
      children:
        edge: {vars: {v3: edge-inline}}
      hosts:
        web[01:03].example.com:
        app.example.com: {hv: inline}
    edge: {hosts: {'db[a:c]': , 'n[1:9:4]:2222': }}
    zeta: {hosts: {web01.example.com: }}
    alpha: {vars: {ansible_group_priority: 5, v5: alpha}, hosts: {web01.example.com: }}
    beta: {vars: {v5: beta}, hosts: {web01.example.com: }}
    empty:
    ungrouped: {hosts: {loose: , zeta-too: }}
  hosts: {first: , web02.example.com: {x: 1}}
lonely: {hosts: p1}
""",
    "group_vars/all.yml": "v1: all-file\nv2: all-file\n",
    "group_vars/web/main.yml": "v3: web-file\nsexagesimal: 1:30\n",
    "group_vars/web/.hidden.yml": "v3: hidden\n",
    "group_vars/web/main.yml~": "v3: backup\n",
    "group_vars/web/notes.txt": "v3: notes\n",
    "group_vars/web.yml": "v4: second\n",
    "group_vars/ungrouped.yaml": "v6: loose\n",
    "host_vars/app.example.com": "hv: file\n",
    "host_vars/dba.json": '{"hj": 1}\n',
}


@pytest.fixture(scope="module")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs ansible-inventory on a file."""
    try:
        program = str(environments.python("ansible").with_name("ansible-inventory"))
    except RunbookError as error:
        pytest.skip(str(error))
    own = {"HOME": str(tmp_path_factory.mktemp("ansible")), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def run(path: Path, *words: str) -> str:
        ran = subprocess.run(
            [program, "-i", str(path), *words], capture_output=True, text=True, check=True, env=own, cwd=path.parent
        )
        assert "Unable to parse" not in ran.stderr, ran.stderr
        return ran.stdout

    return run


def agree(ansible: Callable[..., str], path: Path, environment: str, pattern: str | None = None) -> None:
    """Whether both say the same of an inventory, and of a part of it."""
    chosen = selection.limit(inventory.load(environment, path.parent), pattern)
    found: dict[str, Any] = json.loads(json.dumps(selection.as_list(chosen)))
    theirs = json.loads(ansible(path, "--list", *(["--limit", pattern] if pattern else [])))
    assert {key: value for key, value in found.items() if key != "_meta"} == {
        key: value for key, value in theirs.items() if key != "_meta"
    }
    assert found["_meta"]["hostvars"] == theirs["_meta"]["hostvars"]


@pytest.mark.parametrize("environment", ["staging", "production", "lab"])
def test_the_shipped_inventories_mean_what_ansible_reads_in_them(ansible: Callable[..., str], environment: str) -> None:
    path = ROOT / "inventory" / f"{environment}.yml"
    agree(ansible, path, environment)
    assert list(selection.graph(inventory.load(environment))) == ansible(path, "--graph").splitlines()


@pytest.mark.parametrize(
    "pattern",
    [None, "web", "web[0]", "web[1:2]", "web[-1]", "edge[1-2]", "web:!app*", "web:&zeta", "!web", "&web", "~db.*",
     "lonely,loose", "n*", "web0?.example.com"],
)  # fmt: skip
def test_folders_merges_ranges_and_limits_mean_what_ansible_reads(
    ansible: Callable[..., str], folder, pattern: str | None
) -> None:
    for name, text in FOLDERS.items():
        path = folder.write(name, text)
    path = folder.path / "shop.yml"
    agree(ansible, path, "shop", pattern)
    if not pattern:
        assert list(selection.graph(inventory.load("shop", folder.path))) == ansible(path, "--graph").splitlines()


def test_an_executable_inventory_means_what_ansible_reads(ansible: Callable[..., str], folder) -> None:
    printed = {
        "_meta": {"hostvars": {"h1": {"b": True, "n": 1}}},
        "all": {"vars": {"project_dir": "/srv", "z": "yes"}},
        "web": {"hosts": ["h1", "h2"], "vars": {"k": [1]}, "children": ["kid"]},
        "kid": {"hosts": ["h3"]},
    }
    path = folder.write("shop", f"#!/bin/sh\ncat <<'END'\n{json.dumps(printed)}\nEND\n", 0o755)
    agree(ansible, path, "shop")
    assert list(selection.graph(inventory.load("shop", folder.path))) == ansible(path, "--graph").splitlines()


def made(seed: int) -> str:
    """An inventory by chance: groups in groups, hosts in several of them, ranges, priorities, values of all kinds."""
    chance = random.Random(seed)
    names = [f"g{number}" for number in range(8)]
    hosts = ["h1", "h2", "db[01:03]", "n[a:c].lan", "w[1:9:4]", "z9:2201"]
    lines = ["all:", "  vars:", "    project_dir: /srv/x", "  hosts: {h0: }"]

    def variables(indent: str) -> list[str]:
        chosen = chance.sample(["a", "b", "c"], chance.randint(1, 3))
        return [f"{indent}{name}: {chance.choice(WORDS)}" for name in chosen]

    for number, name in enumerate(names):
        lines += [f"{name}:", "  vars:", *variables("    ")]
        if chance.random() < 0.3:
            lines.append(f"    ansible_group_priority: {chance.randint(1, 9)}")
        children = [child for child in names[number + 1 :] if chance.random() < 0.25]
        lines += ["  children:", *(f"    {child}:" for child in children)] if children else []
        lines.append("  hosts:")
        for host in chance.sample(hosts, chance.randint(1, 3)):
            lines += [f"    '{host}':", *(variables("      ") if chance.random() < 0.4 else [])]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_inventories_made_by_chance_mean_what_ansible_reads(ansible: Callable[..., str], folder, seed: int) -> None:
    path = folder.write("shop.yml", made(seed))
    agree(ansible, path, "shop")
    assert list(selection.graph(inventory.load("shop", folder.path))) == ansible(path, "--graph").splitlines()
