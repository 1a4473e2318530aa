"""What hosts, logs and files say is shown and never obeyed by the operator's terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from inventory.errors import HostFailed
from runbooks.output import Output
from runbooks.screen import console
from runbooks.visible import in_json, visible

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202ereversed\u202c \x08\x7f\u2066"


def test_what_a_terminal_would_obey_is_shown_as_its_number():
    assert visible(HOSTILE) == r"\x1b[2J\x1b]0;owned\x07 \x9b31m \u202ereversed\u202c \x08\x7f\u2066"
    assert visible("tab\tline\nü漢🙂") == "tab\tline\nü漢🙂"


def test_a_document_means_the_same_and_holds_nothing_a_terminal_obeys():
    text = json.dumps({HOSTILE: [HOSTILE]}, ensure_ascii=False)
    assert json.loads(in_json(text)) == {HOSTILE: [HOSTILE]}
    assert visible(in_json(text)) == in_json(text)


@pytest.mark.parametrize("as_json", [False, True])
def test_every_way_of_a_command_to_print_is_safe(capfdbinary, as_json):
    from rich.table import Table
    from rich.text import Text

    out = Output(as_json=as_json)
    table = Table("what")
    table.add_row(Text(HOSTILE, "red"))
    out.show(HOSTILE, Text(HOSTILE), table)
    out.warn(HOSTILE)
    out.error(HostFailed(HOSTILE, host=HOSTILE, mend=HOSTILE))
    out.document({HOSTILE: HOSTILE})
    sys.stdout.flush()
    printed = b"".join(capfdbinary.readouterr())
    assert printed.count(b"\\x1b[2J") >= 7
    text = printed.decode()
    assert visible(text) == text


def test_the_tools_own_colours_stay_on_a_terminal(monkeypatch):
    from io import StringIO

    from rich.console import Console

    from runbooks.visible import guarded

    there = StringIO()
    guarded(Console(file=there, force_terminal=True, color_system="standard", highlight=False)).print(
        "\x1b[5mblink", style="red"
    )
    assert there.getvalue() == "\x1b[31m\\x1b[5mblink\x1b[0m\n"
    assert console().file is sys.stdout


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--patch"]])
def test_a_hostile_compose_file_does_not_reach_the_terminal_of_who_plans_it(tmp_path, more):
    file = tmp_path / "compose.yml"
    file.write_text(
        'services:\n  web:\n    image: "nginx:1.27" # \u202e gnihton\n    depends_on: [db]\n'
        '  db:\n    image: postgres:15\n    labels: {"a": "\\e]0;owned\\a"}\n'
    )
    words = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "plan", "--phase", "1", "--file", str(file), *more]  # fmt: skip
    theirs, ours = pty.openpty()
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "NO_COLOR": "1"}
    child = subprocess.Popen(words, cwd=ROOT, env=environment, stdin=ours, stdout=ours, stderr=ours)
    os.close(ours)
    seen = b""
    while True:
        try:
            part = os.read(theirs, 65536)
        except OSError:  # the other end is closed
            break
        seen += part
    os.close(theirs)
    assert child.wait(60) == 2
    assert b"service_healthy" in seen
    assert b"\\u202e" in seen
    for obeyed in ("\u202e", "\x1b]0;"):
        assert obeyed.encode() not in seen
