"""Every bad inventory is one line that says where and how to mend it: never a traceback, never a hang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inventory import inventory
from inventory.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
HOST = "all:\n  hosts:\n    h:\n      project_dir: /srv\n"
DIAMONDS = "all: {hosts: {h: {project_dir: /srv}}, children: {g0: }}\n" + "".join(
    f"g{number}: {{children: {{a{number}: , b{number}: }}}}\n"
    f"a{number}: {{children: {{g{number + 1}: }}}}\nb{number}: {{children: {{g{number + 1}: }}}}\n"
    for number in range(40)
)
BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 'x'}]\n" for n in range(10))

# text of the inventory, line that must be named (0: none), key, words of the message, words of the mend
CASES: dict[str, tuple[str | bytes, int, str, str, str]] = {
    "nothing": ("", 1, "", "holds no inventory", "all:"),
    "a list": ("- web-1\n", 1, "", "holds no inventory", "all:"),
    "a word": ("web-1\n", 1, "", "holds no inventory", "all:"),
    "Ansible's INI form": ("[web]\nweb-1 ansible_host=10.0.0.1\n", 1, "", "INI form", "--yaml > shop.yml"),
    "Ansible's INI form with hosts first": ("# remark\n\nweb-1\nweb-2 a=b\n[db]\n", 1, "", "INI form", "--yaml"),
    "no hosts": ("all: {vars: {project_dir: /srv}}\n", 0, "", "names no host", "hosts:"),
    "a group that is text": ("all: yes\n", 1, "all", "must be a mapping", "hosts:"),
    "a group that is a list": ("all:\n  children:\n    web: [a, b]\n", 3, "web", "must be a mapping", "hosts:"),
    "hosts that are a list": ("all:\n  hosts:\n    - web-1\n", 3, "all.hosts", "must be a mapping", "colon"),
    "children that are a list": ("all:\n  children: [web]\n", 2, "all.children", "must be a mapping", "colon"),
    "vars that are a list": ("all:\n  vars: [a]\n", 2, "all.vars", "must be a mapping", "colon"),
    "a host that is text": ("all:\n  hosts:\n    h: 10.0.0.1\n", 3, "h", "must be a mapping", "colon"),
    "a part of a group that is none": (HOST + "  child:\n    web:\n", 5, "all.child", "no part of a group", "children?"),
    "a Compose file": ("services:\n  web:\n    image: x\n", 2, "services.web", "no part of a group", "hosts"),
    "an own variable misspelt": (HOST + "      compose_file: [a]\n", 5, "compose_file", "not a variable", "compose_files?"),
    "another one misspelt": (HOST + "      project_nam: x\n", 5, "project_nam", "not a variable", "project_name?"),
    "a step's variable misspelt": (HOST + "      retriess: 3\n", 5, "retriess", "not a variable", "retries?"),
    "no project": ("all:\n  hosts:\n    h:\n", 0, "", "has no project_dir", "project_dir:"),
    "a project that is a number": ("all: {hosts: {h: {project_dir: 5}}}\n", 1, "project_dir", "must be a text", "text"),
    "a project that is relative": ("all: {hosts: {h: {project_dir: srv}}}\n", 1, "project_dir", "not an absolute", "/"),
    "a state folder that is relative": ("all: {hosts: {h: {project_dir: /s, state_dir: kept}}}\n", 1, "state_dir", "not an absolute", "/"),
    "a state folder that is the project's": ("all:\n  hosts:\n    h: {project_dir: /s, state_dir: /s/}\n", 3, "state_dir", "project's own", "of its own"),
    "a project with a line break": ('all: {hosts: {h: {project_dir: "/a\\nb"}}}\n', 1, "project_dir", "line break", "out"),
    "files that are text": (HOST + "      compose_files: a.yml\n", 5, "compose_files", "must be a list", "list"),
    "files that are numbers": (HOST + "      compose_files: [1]\n", 5, "compose_files", "list of texts", "quote"),
    "files that are mappings": (HOST + "      compose_files: [a: b]\n", 5, "compose_files", "list of texts", "quote"),
    "checks that are a list": (HOST + "      health_checks: [a]\n", 5, "health_checks", "must be a mapping", "mapping"),
    "a share that is text": (HOST + "      max_fail_percentage: x\n", 5, "max_fail_percentage", "must be a number", ""),
    "a share that is a flag": (HOST + "      max_fail_percentage: on\n", 5, "max_fail_percentage", "a number", ""),
    "a soak's setting with a slip": (HOST + "      soak: {hour: 3}\n", 5, "soak", "hour is no setting", "hours?"),
    "a soak of no hours": (HOST + "      soak: {hours: 0}\n", 5, "soak.hours", "no number of hours", "48"),
    "a soak at no interval": (HOST + "      soak: {every: often}\n", 5, "soak.every", "not a duration", "30s"),
    "a soak of one tick": (HOST + "      soak: {hours: 1, every: 2h}\n", 5, "soak.every", "longer than", "shorter"),
    "a required soak of nowhere": (HOST + "      requires_soak: {hours: 3}\n", 5, "requires_soak.environment", "names no other", "staging"),
    "a required soak of a word": (HOST + "      requires_soak: {environment: s, hours: two}\n", 5, "requires_soak.hours", "no number of hours", "48"),
    "port 0": (HOST + "      ansible_port: 0\n", 5, "ansible_port", "not a port", "65535"),
    "port 65536": (HOST + "      ansible_port: 65536\n", 5, "ansible_port", "not a port", "65535"),
    "port -1": (HOST + "      ansible_port: -1\n", 5, "ansible_port", "not a port", "65535"),
    "a port that is a word": (HOST + "      ansible_port: ssh\n", 5, "ansible_port", "not a port", "65535"),
    "a port that is a flag": (HOST + "      ansible_port: yes\n", 5, "ansible_port", "not a port", "65535"),
    "a port with a digit of another script": (HOST + "      ansible_port: ²\n", 5, "ansible_port", "not a port", "65535"),
    "a port that is very long": (HOST + f"      ansible_port: '{'9' * 5000}'\n", 5, "ansible_port", "not a port", ""),
    "a port at a name": ("all: {hosts: {'h:99999': {project_dir: /s}}}\n", 1, "ansible_port", "not a port", "65535"),
    "a flag that is none": (HOST + "      ansible_become: maybe\n", 5, "ansible_become", "neither yes nor no", "true"),
    "a priority that is none": ("g:\n  vars: {ansible_group_priority: x}\n  hosts: {h: {project_dir: /s}}\n", 2,
                                "ansible_group_priority", "not a number", "number"),
    "become by another program": (HOST + "      ansible_become: yes\n      ansible_become_method: su\n", 6,
                                  "ansible_become_method", "not supported", "sudo"),
    "become another user": (HOST + "      ansible_become: yes\n      ansible_become_user: eve\n", 6,
                            "ansible_become_user", "not supported", "root"),
    "a connection that is not known": (HOST + "      ansible_connection: docker\n", 5, "ansible_connection",
                                       "not supported", "ssh"),
    "an encrypted password": (HOST + "      ansible_become_password: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        33\n",
                              5, "ansible_become_password", "Vault", "from_command"),
    "a range backwards": ("all: {hosts: {'w[5:1]': }}\n", 1, "w[5:1]", "is not a range", "[1:20]"),
    "a range of nothing": ("all: {hosts: {'w[1:]': }}\n", 1, "w[1:]", "is not a range", "[1:20]"),
    "a range with no step": ("all: {hosts: {'w[1:5:0]': }}\n", 1, "w[1:5:0]", "is not a range", "[1:20]"),
    "a range of four": ("all: {hosts: {'w[1:2:3:4]': }}\n", 1, "w[1:2:3:4]", "is not a range", "[1:20]"),
    "a range of words": ("all: {hosts: {'w[aa:bb]': }}\n", 1, "w[aa:bb]", "is not a range", "[1:20]"),
    "a range with a digit of another script": ("all: {hosts: {'w[²:5]': }}\n", 1, "w[²:5]", "is not a range", ""),
    "a range too long": ("all: {hosts: {'w[1:999999]': }}\n", 1, "w[1:999999]", "is not a range", ""),
    "ranges too long together": ("all: {hosts: {'w[1:9999]-[1:9999]': }}\n", 1, "w[1:9999]-[1:9999]", "more than", "smaller"),
    "ranges too many": (f"all: {{hosts: {{'{'[1:1]' * 150}': }}}}\n", 1, "[1:1][1:1]", "ranges", "fewer"),
    "hosts too many": ("all:\n  hosts: {'a[1:90000]': , 'b[1:90000]': }\n", 2, "", "times", "fewer"),
    "a group in itself": ("a: {children: {b: {children: {a: }}}}\n", 0, "a", "holds itself", "circle"),
    "a group right in itself": ("all: {children: {a: {children: {a: }}}}\n", 0, "a", "holds itself", "circle"),
    "all below itself": ("all: {children: {a: {children: {all: }}}, hosts: {h: }}\n", 0, "", "holds itself", "circle"),
    "groups in each other": ("a: {children: {b: }, hosts: {h: }}\nb: {children: {a: }}\n", 0, "a", "holds itself", "circle"),
    "groups too deep": ("\n".join(f"g{n}: {{children: {{g{n + 1}: }}}}" for n in range(3000)) + "\nz: {hosts: {h: }}\n",
                        0, "", "nested deeper", "less"),
    "a template with a filter": (HOST + "      project_name: '{{ x | lower }}'\n", 5, "project_name", "more than a", "out"),
    "a template with a block": (HOST + "      project_name: '{% if x %}'\n", 5, "project_name", "more than a", "out"),
    "a template of nothing": (HOST + "      project_name: '{{ gone }}'\n", 5, "project_name", "not defined", "define"),
    "a template of itself": (HOST + "      project_name: '{{ project_name }}'\n", 5, "project_name", "back to itself", ""),
    "templates in a circle": (HOST + "      project_name: '{{ a }}'\n      a: '{{ b }}'\n      b: 'x{{ a }}'\n", 7, "b",
                              "back to itself", "circle"),
    "templates of the wrong type": (HOST + "      profiles: '{{ a }}'\n      a: 5\n", 5, "profiles", "must be a list", ""),
    "a template that is relative": ("all: {hosts: {h: {project_dir: '{{ a }}/x', a: srv}}}\n", 1, "project_dir",
                                    "not an absolute", "/"),
    "a bomb of templates": (HOST + "      project_name: '{{ a0 }}'\n" + "".join(
        f"      a{n}: '{{{{ a{n + 1} }}}}{{{{ a{n + 1} }}}}'\n" for n in range(60)) + "      a60: x\n", 0, "", "", ""),
    "a chain of templates": (HOST + "      project_name: '{{ a0 }}'\n" + "".join(
        f"      a{n}: '{{{{ a{n + 1} }}}}'\n" for n in range(3000)) + "      a3000: x\n", 0, "", "too many", "out"),
    "a duplicate key": ("all:\n  hosts: {h: }\n  hosts: {i: }\n", 3, "hosts", "first on line 2", "one of the two"),
    "a tab": ("all:\n\thosts:\n", 2, "", "is not YAML", "spaces, not tabs"),
    "an open quote": ('all: {hosts: {h: "x\n', 0, "", "is not YAML", "mend"),
    "two documents": ("all: {}\n---\nall: {}\n", 2, "", "is not YAML", "one document"),
    "an anchor that is not there": ("all: *x\n", 1, "", "is not YAML", "anchor"),
    "a key that is a list": ("all:\n  ? [a]\n  : b\n", 2, "", "not text", "plain key"),
    "a NUL": (b"all:\n  hosts: {h\0: }\n", 2, "", "NUL", "right file"),
    "a control character": (b"all: \x07\n", 0, "", "is not YAML", "mend"),
    "invalid UTF-8": (b"all:\n  hosts: {h\xff: }\n", 2, "", "not UTF-8", "UTF-8"),
    "UTF-16": ("all:\n".encode("utf-16"), 1, "", "UTF-16", "UTF-8"),
    "a huge file": (b"all: " + b"x" * (3 << 20), 0, "", "more than", "right file"),
    "flow that is deep": ("[" * 100_000, 1, "", "nested deeper", "less"),
    "flow that is deep and closed": ("a: " + "{a: " * 500 + "}" * 500, 1, "", "nested deeper", "less"),
    "blocks that are deep": ("\n".join(" " * n + f"k{n}:" for n in range(1000)), 0, "", "nested deeper", "less"),
    "dashes that are deep": ("- " * 10_000 + "x", 1, "", "nested deeper", "less"),
    "a bomb of aliases": (BOMB, 0, "", "expands to more", "fewer aliases"),
    "an alias to what holds it": ("all: &a {hosts: *a}\n", 1, "", "alias to what holds it", "out"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_bad_inventory_is_one_line_with_place_and_mend(folder, name: str) -> None:
    text, line, key, words, mend = CASES[name]
    path = folder.write("shop.yml", text)
    with pytest.raises(InputError) as caught:
        inventory.load("shop", folder.path, ["retries"])
    error = caught.value
    shown = str(error)
    assert error.code == 1 and error.path == str(path) and "\n" not in shown and len(shown) < 7000
    assert not line or (error.line == line and f"{path}:{line}:" in shown)
    assert key in error.key and words in error.message and mend in error.mend and error.mend


def test_a_bomb_of_groups_is_read_and_its_graph_refused(folder) -> None:
    from inventory import selection

    found = folder.load(DIAMONDS)
    assert [host.name for host in found.hosts] == ["h"]
    with pytest.raises(InputError, match="too large to draw"):
        list(selection.graph(found))


def test_the_line_that_is_named_is_the_one_of_the_folder_of_variables(folder) -> None:
    path = folder.write("group_vars/all.yml", "a: 1\nprofiles: web\n")
    with pytest.raises(InputError) as caught:
        folder.load(HOST)
    assert str(caught.value).startswith(f"{path}:2: profiles: must be a list")


@pytest.mark.parametrize("text", ["- a\n", "$ANSIBLE_VAULT;1.1;AES256\n3132\n"])
def test_a_file_of_variables_that_is_no_mapping_is_named(folder, text: str) -> None:
    path = folder.write("host_vars/h.yml", text)
    with pytest.raises(InputError, match="must be a mapping") as caught:
        folder.load(HOST)
    assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("name", "words", "mend"),
    [("stagin", "no environment stagin", "did you mean staging?"), ("zzz", "no environment", "there are: shop, staging"),
     ("../x", "is not an environment's name", ".yml"), (".x", "is not", ".yml"), ("a\0b", "is not", ".yml"),
     ("x" * 5000, "is not an environment's name", ".yml"), ("", "no environment", "there are")],
)  # fmt: skip
def test_an_environment_that_is_not_there_names_those_that_are(folder, name: str, words: str, mend: str) -> None:
    folder.write("staging.yml", HOST)
    folder.write("shop.yml", HOST)
    with pytest.raises(InputError) as caught:
        inventory.load(name, folder.path)
    assert words in caught.value.message and mend in caught.value.mend


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: --inventory: is not a folder"):
        inventory.load("shop", tmp_path / "absent")


PROGRAMS = {
    "fails": ("echo '{}'; exit 3", "exit 3"),
    "prints nothing": (":", "printed no JSON"),
    "prints YAML": ("echo 'all:'", "printed no JSON"),
    "prints a list": ("echo '[]'", "printed no JSON"),
    "prints invalid UTF-8": (r"printf '{\"a\": \"\377\"}'", "printed no JSON"),
    "prints what is deep": ("head -c 200000 /dev/zero | tr '\\0' '['", "printed no JSON"),
    "has hosts that are text": ("""echo '{"web": {"hosts": "h1"}}'""", "must be a list"),
    "has children that are text": ("""echo '{"web": {"children": "h1"}}'""", "must be a list"),
    "has vars that are a list": ("""echo '{"web": {"vars": ["h1"]}}'""", "must be a mapping"),
    "has a group that is a number": ("""echo '{"web": 5}'""", "must be a mapping"),
    "has hostvars that are a list": ("""echo '{"_meta": {"hostvars": []}}'""", "must be a mapping"),
    "has variables that are text": ("""echo '{"_meta": {"hostvars": {"h": "x"}}}'""", "must be a mapping"),
    "has groups in a circle": ("""echo '{"a": {"children": ["b"], "hosts": ["h"]}, "b": {"children": ["a"]}}'""", "itself"),
    "has no host": ("echo '{}'", "names no host"),
    "has a variable of the wrong type": ("""echo '{"_meta": {"hostvars": {"h": {"project_dir": 5}}}}'""", "must be a text"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_prints_no_inventory_is_one_line(folder, name: str) -> None:
    body, words = PROGRAMS[name]
    path = folder.write("shop", f"#!/bin/sh\n{body}\n", 0o755)
    with pytest.raises(InputError) as caught:
        folder.load()
    assert words in str(caught.value) and caught.value.path == str(path) and caught.value.mend


def test_a_program_that_cannot_be_started_is_one_line(folder) -> None:
    folder.write("shop", "#!/no/such/interpreter\n", 0o755)
    with pytest.raises(InputError, match="did not run"):
        folder.load()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a tab", "port 0", "an own variable misspelt", "a NUL", "groups too deep"])
def test_the_command_line_ends_with_one_line_and_exit_code_1(folder, name: str) -> None:
    folder.write("shop.yml", CASES[name][0])
    words = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "inventory.list", "--env", "shop"]
    done = subprocess.run(
        [*words, "--inventory", str(folder.path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")
    assert CASES[name][3] in done.stderr and CASES[name][4] in done.stderr
