"""Programs in front of the real ones, which do something at one of their calls: what a host or another user of it could do then."""

import os

import pytest

from inventory.errors import HostFailed
from rollback.model import FileWrite, Transaction

HEAD = '#!/bin/sh\nPATH=${PATH#"${0%/*}:"}\n'
RULE = """case "$*" in %(words)s)
    n=1; until mkdir "%(mark)s.$n" 2>/dev/null; do n=$((n + 1)); done
    if [ %(at)s = 0 ] || [ "$n" = %(at)s ]; then
        %(do)s
    fi ;;
esac
"""
FAILS = "exit 2"
KILLS = "kill -9 $PPID; exit 1"


class Shims:
    """Rules for programs by name; texts know $PROJECT, $STATE and $OUTSIDE. One rule a program may fit a call."""

    def __init__(self, folder, project):
        self.folder, self.marks, self.rules = folder / "shims", folder / "marks", []
        self.outside = folder / "outside"
        for made in (self.folder, self.marks, self.outside):
            made.mkdir()
        self.project = project
        self.more = {"PROJECT": str(project), "STATE": str(folder / "state"), "OUTSIDE": str(self.outside)}

    def at(self, name, words, do, call=1):
        """At the `call`-th call (0: at each) of a program whose words fit a pattern of `case`, this is done first."""
        mark = self.marks / f"{len(self.rules)}"
        self.rules.append((name, RULE % {"words": words.replace(" ", "\\ "), "mark": mark, "at": call, "do": do}, call))
        text = HEAD + "".join(rule for of, rule, _ in self.rules if of == name) + f'exec {name} "$@"\n'
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def no_sync(self, words):
        """No sync of what fits: neither of that alone nor of all."""
        self.at("sync", words, f"touch '{self.marks}/no'; {FAILS}")
        self.at("sync", '""', f"if [ -e '{self.marks}/no' ]; then rm '{self.marks}/no'; {FAILS}; fi", call=0)

    @property
    def struck(self):
        """Whether each rule that is about one call met it."""
        met = [(self.marks / f"{number}.{call}").exists() for number, (_, _, call) in enumerate(self.rules) if call]
        return all(met)


@pytest.fixture
def shims(tmp_path, project):
    return Shims(tmp_path, project)


@pytest.fixture
def ready(writer):
    """A writer that holds the lock, with nothing in front of its programs."""
    host = writer()
    host.prepare()
    host.lock()
    return host


@pytest.fixture
def shimmed(writer, shims):
    """The same run's writer, on a host with the shims."""
    return writer(path=str(shims.folder), more=shims.more)


def transaction(host, project, files, name="t-1", **more):
    """A change of files: name -> new bytes, or None for one that goes. `more`: mode, uid and gid of all of them."""
    found = host.read([str(project / each) for each in files])
    owner = {"uid": os.getuid(), "gid": os.getgid()} | more
    writes = []
    for (state, _), data in zip(found.values(), files.values(), strict=True):
        writes.append(FileWrite(state, data, **(owner if state.sha256 is None and data is not None else more)))
    return Transaction(name, host.run, "s", str(project), tuple(writes))


def cut_off(shims, shimmed, change):
    """A commit that was killed when all files had their names, before its snapshot had its own."""
    shims.at("mv", "*/snapshots/.t-1.json*", KILLS)
    with pytest.raises(HostFailed):
        shimmed.commit(change)
    assert shims.struck


def seen(project):
    """Every entry but the lock: kind, bytes or target, mode."""
    found = {}
    for path in sorted(project.rglob("*")):
        if path.name != ".compose-runbook.lock":
            body = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
            found[str(path.relative_to(project))] = body, path.lstat().st_mode
    return found
