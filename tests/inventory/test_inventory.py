"""What an inventory means: groups, precedence, ranges, folders of variables, programs, and a project's own fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inventory import inventory
from inventory.model import Project
from inventory.ranges import expand

NESTED = """
all:
  vars: {project_dir: /srv/all, from: all, only_all: 1}
  hosts:
    loose:
  children:
    web:
      vars: {from: web}
      children:
        edge:
          vars: {from: edge, project_dir: /srv/edge}
          hosts:
            edge-1: {from: host, ansible_host: 10.0.0.1, ansible_port: 2222, ansible_user: deploy}
            edge-2:
      hosts:
        web-1:
"""


def test_the_nearest_group_wins_and_the_host_over_all(folder) -> None:
    found = {host.name: host.variables["from"] for host in folder.load(NESTED).hosts}
    assert found == {"edge-1": "host", "edge-2": "edge", "web-1": "web", "loose": "all"}


def test_hosts_know_their_groups_and_stand_in_the_order_of_the_file(folder) -> None:
    found = folder.load(NESTED)
    assert {host.name: host.groups for host in found.hosts} == {
        "loose": ("ungrouped",), "web-1": ("web",), "edge-1": ("edge", "web"), "edge-2": ("edge", "web"),
    }  # fmt: skip
    assert [host.name for host in found.hosts] == ["loose", "web-1", "edge-1", "edge-2"]
    assert found.groups["web"] == (("edge",), ("web-1",)) and found.environment == "shop"


def test_what_a_connection_needs_is_read_from_ansibles_variables(folder) -> None:
    one, two = folder.load(NESTED).hosts[2:]
    assert (one.address, one.port, one.user, one.project.directory) == ("10.0.0.1", 2222, "deploy", "/srv/edge")
    assert (two.address, two.port, two.user, two.key_file, two.connection) == ("edge-2", None, None, None, "ssh")


@pytest.mark.parametrize(
    ("lines", "wins"),
    [
        ("a: {vars: {v: a}, hosts: {h: }}\nb: {vars: {v: b}, hosts: {h: }}", "b"),
        ("b: {vars: {v: b}, hosts: {h: }}\na: {vars: {v: a}, hosts: {h: }}", "b"),
        ("a: {vars: {v: a, ansible_group_priority: 10}, hosts: {h: }}\nb: {vars: {v: b}, hosts: {h: }}", "a"),
        ("a: {vars: {v: a}, children: {z: {vars: {v: z}, hosts: {h: }}}}\nb: {vars: {v: b}, hosts: {h: }}", "z"),
        ("x: {children: {b: }}\na: {vars: {v: a}, hosts: {h: }}\nb: {vars: {v: b}, hosts: {h: }}", "b"),
        ("x: {children: {a: }}\na: {vars: {v: a}, hosts: {h: }}\nb: {vars: {v: b}, hosts: {h: }}", "a"),
        ("all: {vars: {v: all}}\na: {hosts: {h: }}", "all"),
        ("a: {vars: {v: a}, hosts: {h: }}\nb: {hosts: {h: {v: host}}}", "host"),
    ],
    ids=[
        "by name",
        "whatever the order",
        "priority",
        "a child",
        "deeper",
        "deeper the other way",
        "all",
        "host",
    ],
)
def test_precedence_is_ansibles(folder, lines: str, wins: str) -> None:
    (host,) = folder.load(lines + "\nlast: {vars: {project_dir: /srv}, hosts: {h: }}").hosts
    assert host.variables["v"] == wins
    assert "ansible_group_priority" not in host.variables


FOLDERS = {
    "group_vars/all.yml": "v: folder-all\nw: folder-all",
    "group_vars/web/main.yml": "w: folder-web",
    "group_vars/web/.hidden.yml": "w: hidden",
    "group_vars/web/main.yml~": "w: backup",
    "group_vars/web/notes.txt": "w: notes",
    "group_vars/web.yml": "w: not read, as the folder of that name is",
    "group_vars/elsewhere.yml": "v: of no group here",
    "host_vars/web-1.example.com": "x: without an ending",
    "host_vars/web-2.example.com.json": '{"x": "json"}',
}


def test_group_vars_and_host_vars_beside_the_inventory_are_read_as_ansible_does(folder) -> None:
    for name, text in FOLDERS.items():
        folder.write(name, text)
    found = folder.load(
        "web: {vars: {project_dir: /srv, v: inline, w: inline}, hosts: {'web-[1:2].example.com': {x: inline}}}"
    )
    # By Ansible's rule group_vars/all outranks a group's variables of the inventory itself.
    assert [(each.variables["v"], each.variables["w"], each.variables["x"]) for each in found.hosts] == [
        ("folder-all", "folder-web", "without an ending"),
        ("folder-all", "folder-web", "json"),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("web", ["web"]),
        ("web[1:3]", ["web1", "web2", "web3"]),
        ("web[08:11]", ["web08", "web09", "web10", "web11"]),
        ("web[01:20]", [f"web{number:02}" for number in range(1, 21)]),
        ("web[001:003]", ["web001", "web002", "web003"]),
        ("db[a:d]", ["dba", "dbb", "dbc", "dbd"]),
        ("db[A:C].lan", ["dbA.lan", "dbB.lan", "dbC.lan"]),
        ("n[1:9:4]", ["n1", "n5", "n9"]),
        ("n[a:g:3]", ["na", "nd", "ng"]),
        ("n[:2]", ["n0", "n1", "n2"]),
        ("r[1:2]-[a:b]", ["r1-a", "r1-b", "r2-a", "r2-b"]),
        ("[5:5]", ["5"]),
    ],
)
def test_a_range_stands_for_its_hosts(pattern: str, names: list[str]) -> None:
    assert expand(pattern, "x.yml", 1) == names


def test_variables_of_a_range_hold_for_each_of_its_hosts(folder) -> None:
    found = folder.load("all: {vars: {project_dir: /srv}, hosts: {'web[01:20]:2222': {ansible_user: eve}}}")
    assert [host.name for host in found.hosts] == [f"web{number:02}" for number in range(1, 21)]
    assert {(host.port, host.user) for host in found.hosts} == {(2222, "eve")}


def test_a_host_that_stands_in_several_places_is_one_host(folder) -> None:
    found = folder.load("a: {hosts: {h: {project_dir: /srv, x: 1}}}\nb: {hosts: {h: {y: 2}}}\nc: {children: {a: }}")
    (host,) = found.hosts
    assert host.groups == ("a", "b", "c") and (host.variables["x"], host.variables["y"]) == (1, 2)


def test_merge_keys_and_anchors_are_read(folder) -> None:
    text = "all:\n  vars: &d {project_dir: /srv, x: 1}\n  hosts:\n    h1: {<<: *d, x: 2}\n    h2: {<<: [{x: 3}, *d]}\n"
    assert [host.variables["x"] for host in folder.load(text).hosts] == [2, 3]


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("yes", True), ("no", False), ("On", True), ("OFF", False), ("true", True), ("'no'", "no"), ("y", "y"),
        ("1:30", 90), ("-1:00", -60), ("0o17", "0o17"), ("017", 15), ("1e3", "1e3"), ("1.5", 1.5), ("08", "08"),
        ("1_000", 1000), ("0x1f", 31), ("~", None), ("", None), ("2001-01-01", "2001-01-01"), ("9" * 500, "9" * 500),
        ("0x_", "0x_"),
    ],
)  # fmt: skip
def test_values_are_read_as_ansible_reads_them(folder, raw: str, read: Any) -> None:
    (host,) = folder.load(f"all:\n  hosts:\n    h:\n      project_dir: /srv\n      x: {raw}\n").hosts
    assert host.variables["x"] == read and type(host.variables["x"]) is type(read)


@pytest.mark.parametrize(
    ("raw", "become"),
    [("yes", True), ("true", True), ("'true'", True), ("1", True), ("no", False), ("false", False), ("'no'", False),
     ("0", False), ("", False)],
)  # fmt: skip
def test_become_is_what_was_written_and_not_that_something_was(folder, raw: str, become: bool) -> None:
    (host,) = folder.load(f"all:\n  hosts:\n    h:\n      project_dir: /srv\n      ansible_become: {raw}\n").hosts
    assert host.become is become


def test_a_project_has_what_the_inventory_says_of_it(folder) -> None:
    (host,) = folder.load("""
all:
  hosts:
    h:
      base: /srv
      project_dir: "{{ base }}/{{ inventory_hostname }}/"
      project_name: "{{ name }}"
      name: shop
      files: [b.yml]
      compose_files: [a.yml]
      env_files: "{{ files }}"
      profiles: [web, "{{ name }}"]
      state_dir: /var/lib/x
      playbook: "{{ not_defined | default('ansible business') }}"
""").hosts
    assert host.project == Project("/srv/h", "shop", ("a.yml",), ("b.yml",), ("web", "shop"), "/var/lib/x")
    assert host.variables["playbook"] == "{{ not_defined | default('ansible business') }}"


def test_variables_that_steps_declare_are_known_and_resolved(folder) -> None:
    folder.write("shop.yml", "all: {hosts: {h: {project_dir: /srv, retry: '{{ n }}', n: 5}}}")
    (host,) = inventory.load("shop", folder.path, ["retry", "retries"]).hosts
    assert host.variables["retry"] == 5


def test_names_that_are_far_from_own_ones_are_ansibles_business(folder) -> None:
    (host,) = folder.load("all: {hosts: {h: {project_dir: /srv, nginx_workers: 4, ansible_pipelinin: x}}}").hosts
    assert host.variables["nginx_workers"] == 4


@pytest.mark.parametrize("name", ["shop", "shop.sh"])
def test_a_program_is_asked_for_ansibles_list(folder, name: str) -> None:
    printed = {
        "_meta": {"hostvars": {"h1": {"ansible_host": "10.0.0.1"}}},
        "web": {"hosts": ["h1", "h2"], "vars": {"project_dir": "/srv"}, "children": ["inner"]},
        "inner": ["h3"],
    }
    folder.write(name, f"#!/bin/sh\n[ \"$*\" = --list ] && cat <<'END'\n{json.dumps(printed)}\nEND\n", 0o755)
    found = folder.load()
    assert [(host.name, host.address, host.groups) for host in found.hosts] == [
        ("h1", "10.0.0.1", ("web",)), ("h2", "h2", ("web",)), ("h3", "h3", ("inner", "web")),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["staging", "production", "lab"])
def test_the_shipped_inventories_load(name: str) -> None:
    found = inventory.load(name)
    assert found.hosts and all(host.project.directory == "/srv/reconciliation" for host in found.hosts)


def test_an_inventory_that_is_large_is_read_quickly(folder) -> None:
    text = "all:\n  vars: {project_dir: /srv, note: x}\n  children:\n"
    text += "".join(f"    g{number}: {{hosts: {{'h{number}-[1:100]': }}}}\n" for number in range(50))
    assert len(folder.load(text).hosts) == 5000
