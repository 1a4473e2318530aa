"""Where there is no terminal a line is what rich would have written there, without rich."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from runbooks.lines import Columns, Line, PlainConsole, line, on_terminal
from runbooks.visible import guarded

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {
    "plain": "  host0001  changed (0 s)",
    "wide": "x" * 400,
    "tabs": "a\tb\n\tc",
    "markup": "[red]not a colour[/red] [1/2]",
    "other letters": "größer → 数",
    "what a terminal obeys": "\x1b[2J\x07\x9b\u202e\r\u2028",
    "lines": "one\n\ntwo\n",
    "nothing": "",
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_is_written_as_rich_writes_it_without_a_terminal(case, monkeypatch):
    ours, richs = StringIO(), StringIO()
    monkeypatch.setattr(sys, "stdout", ours)
    PlainConsole().print(TEXTS[case], style="red", markup=False, soft_wrap=True)
    guarded(Console(file=richs, highlight=False, width=160)).print(
        TEXTS[case], style="red", markup=False, soft_wrap=True
    )
    assert ours.getvalue() == richs.getvalue()


def test_lines_and_their_parts_stand_below_each_other(monkeypatch):
    ours, richs = StringIO(), StringIO()
    monkeypatch.setattr(sys, "stdout", ours)
    parts = [Line.of(("web-1", "bold"), "  /srv"), line("  stays", "dim"), "text", line("")]
    PlainConsole().print(*parts, sep="\n", markup=False, soft_wrap=True)
    guarded(Console(file=richs, highlight=False, width=160)).print(*parts, sep="\n", markup=False, soft_wrap=True)
    assert ours.getvalue() == richs.getvalue() == "web-1  /srv\n  stays\ntext\n\n"


def test_a_table_among_lines_is_left_to_rich(monkeypatch):
    written = StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    table = Table(box=None, show_header=False)
    table.add_row("+", "\x1b]0;owned")
    PlainConsole().print(line("above", "bold"), table, sep="\n", markup=False)
    above, below = written.getvalue().splitlines()
    assert above == "above"
    assert below.split() == ["+", "\\x1b]0;owned"]


def test_columns_stand_as_rich_puts_them_where_they_fit(monkeypatch):
    ours, richs = StringIO(), StringIO()
    monkeypatch.setattr(sys, "stdout", ours)
    columns = Columns(
        (
            (line("    +"), line("db"), Line.of("a -> b", ("  (why)", "dim")), line("")),
            (line("    ~"), line("größer-数"), line("one\ntwo"), line("proven", "green")),
        ),
        folds=(2,),
    )
    PlainConsole().print(columns, sep="\n", markup=False, soft_wrap=True)
    guarded(Console(file=richs, highlight=False, width=160)).print(columns, sep="\n", markup=False, soft_wrap=True)
    assert ours.getvalue().splitlines() == [text.rstrip() for text in richs.getvalue().splitlines()]
    assert ours.getvalue().splitlines()[0].split() == ["+", "db", "a", "->", "b", "(why)"]


def test_columns_are_never_cut_or_folded_in_a_log(monkeypatch):
    written = StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    PlainConsole().print(Columns(((line("db"), line("x" * 500), line("end")),), folds=(1,)), markup=False)
    assert written.getvalue() == f"db  {'x' * 500}  end\n"


def test_a_picture_holds_what_was_printed_while_it_was_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdout", StringIO())
    console = PlainConsole()
    console.print("before", markup=False)
    console.record, console.width = True, 60
    console.print("meanwhile", markup=False)
    console.save_svg(str(tmp_path / "picture.svg"), title="title")
    picture = (tmp_path / "picture.svg").read_text()
    assert "meanwhile" in picture
    assert "before" not in picture


@pytest.mark.parametrize("name", ["TTY_COMPATIBLE", "FORCE_COLOR"])
@pytest.mark.parametrize("value", ["", "0", "1", "yes"])
def test_a_terminal_is_what_rich_takes_for_one(monkeypatch, name, value):
    for other in ("TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(other, raising=False)
    assert not on_terminal(StringIO())
    monkeypatch.setenv(name, value)
    assert on_terminal(StringIO()) == Console(file=StringIO()).is_terminal


def test_a_command_without_a_terminal_loads_no_rich(tmp_path):
    (tmp_path / "compose.yml").write_text(
        "services:\n  web:\n    image: nginx:1.27\n    depends_on: [db]\n"
        "  db:\n    image: postgres:17\n    healthcheck: {test: [CMD, pg_isready, -h, 127.0.0.1]}\n"
    )
    words = [
        "cli/program.py",
        "--search-root",
        str(ROOT),
        "plan",
        "--phase",
        "files",
        "--file",
        str(tmp_path / "compose.yml"),
    ]
    environment = {**os.environ, "RUNBOOK_STATE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-X", "importtime", *words], cwd=ROOT, env=environment, capture_output=True,
                          text=True, check=False, timeout=120)  # fmt: skip
    loaded = {text.rsplit("|", 1)[1].strip() for text in done.stderr.splitlines() if text.startswith("import time:")}
    assert done.returncode == 2, done.stderr[-400:]
    assert "service_healthy" in done.stdout
    assert "runbooks.lines" in loaded
    assert not {name for name in loaded if name.split(".")[0] == "rich"}


def test_a_reader_that_has_gone_ends_the_program():
    program = "from runbooks.lines import PlainConsole; console = PlainConsole(); console.print('a'); print('stays')"
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as gone:
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, text=True,
                              check=False, timeout=120)  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
