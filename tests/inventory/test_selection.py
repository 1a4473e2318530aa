"""Which hosts a pattern means, and what `--list` and `--graph` show of them."""

from __future__ import annotations

import pytest

from inventory import selection
from inventory.errors import InputError
from inventory.model import Inventory

TEXT = """
all:
  vars: {project_dir: /srv}
  hosts:
    loose:
  children:
    web:
      children:
        edge: {hosts: {edge-1: , edge-2: }}
      hosts: {web-1: , web-2: , web-3: }
    db: {hosts: {db-1: {x: 1}, web-3: }}
    empty:
"""


@pytest.fixture
def found(folder) -> Inventory:
    return folder.load(TEXT)


ALL = "loose web-1 web-2 web-3 edge-1 edge-2 db-1"
CASES = {
    None: ALL,
    "": ALL,
    "all": ALL,
    "*": ALL,
    "web-2": "web-2",
    "db": "web-3 db-1",
    "web": "web-1 web-2 web-3 edge-1 edge-2",
    "ungrouped": "loose",
    "web-1,db-1": "web-1 db-1",
    "db-1:web-1": "web-1 db-1",
    " web-1 , db-1 ,": "web-1 db-1",
    "web-*": "web-1 web-2 web-3",
    "web-?,!web-2": "web-1 web-3",
    "w*": "web-1 web-2 web-3 edge-1 edge-2",
    "web-[ab1]": "web-1",
    "web:!edge": "web-1 web-2 web-3",
    "!edge:web": "web-1 web-2 web-3",
    "web:&db": "web-3",
    "&db:web": "web-3",
    "web:&db:!web-3,loose": "",
    "all:!web:!db": "loose",
    "!web": "loose db-1",
    "!web,!db": "loose",
    "&edge": "edge-1 edge-2",
    "web[0]": "web-1",
    "web[-1]": "edge-2",
    "web[1:3]": "web-2 web-3 edge-1",
    "web[3:]": "edge-1 edge-2",
    "web[0-1]": "web-1 web-2",
    "web-*[1]": "web-2",
    "~web-[12]": "web-1 web-2",
    "~(db|loose)": "loose web-3 db-1",
}


@pytest.mark.parametrize("pattern", CASES)
def test_a_pattern_selects_its_hosts_in_the_order_of_the_inventory(found: Inventory, pattern: str | None) -> None:
    if CASES[pattern] == "":
        with pytest.raises(InputError, match="leaves no host"):
            selection.limit(found, pattern)
        return
    chosen = selection.limit(found, pattern)
    assert " ".join(host.name for host in chosen.hosts) == CASES[pattern]
    assert chosen.groups == found.groups


@pytest.mark.parametrize(
    ("pattern", "words", "mend"),
    [
        ("web-4", "neither a host nor a group", "did you mean web-"),
        ("webb", "neither a host nor a group", "did you mean web?"),
        ("zzzz", "neither a host nor a group", "inventory.graph"),
        ("web,zzzz", "zzzz is neither", "inventory.graph"),
        ("!zzzz", "zzzz is neither", "inventory.graph"),
        ("empty", "leaves no host", "inventory.graph"),
        ("web:!web", "leaves no host", "inventory.graph"),
        ("web[9]", "leaves no host", "inventory.graph"),
        (",", "names nothing", "inventory.graph"),
        (" : ", "names nothing", "inventory.graph"),
        ("web,!", "names nothing", "inventory.graph"),
        ("~(", "is no pattern", "mend the pattern"),
    ],
)
def test_a_pattern_that_selects_nothing_is_refused_and_never_means_all(
    found: Inventory, pattern: str, words: str, mend: str
) -> None:
    with pytest.raises(InputError) as caught:
        selection.limit(found, pattern)
    assert words in caught.value.message and mend in caught.value.mend and caught.value.path


def test_the_graph_is_drawn_as_ansible_draws_it(found: Inventory) -> None:
    assert list(selection.graph(found)) == [
        "@all:",
        "  |--@ungrouped:",
        "  |  |--loose",
        "  |--@web:",
        "  |  |--@edge:",
        "  |  |  |--edge-1",
        "  |  |  |--edge-2",
        "  |  |--web-1",
        "  |  |--web-2",
        "  |  |--web-3",
        "  |--@db:",
        "  |  |--db-1",
        "  |  |--web-3",
        "  |--@empty:",
    ]


def test_the_graph_of_a_limit_shows_its_hosts_alone(found: Inventory) -> None:
    lines = list(selection.graph(selection.limit(found, "web-3")))
    assert [line for line in lines if "@" not in line] == ["  |  |--web-3", "  |  |--web-3"]


def test_the_list_of_a_limit_holds_its_hosts_alone(found: Inventory) -> None:
    assert selection.as_list(selection.limit(found, "db")) == {
        "_meta": {"hostvars": {"web-3": {"project_dir": "/srv"}, "db-1": {"project_dir": "/srv", "x": 1}}},
        "all": {"children": ["ungrouped", "web", "db", "empty"]},
        "web": {"children": ["edge"], "hosts": ["web-3"]},
        "db": {"hosts": ["db-1", "web-3"]},
    }
