"""Two beds on which the same is done: by one process where the case is plain, and by the shell's program alone."""

import os
import re
import shutil

import pytest

from lab.proof import power
from lab.proof.bed import Bed
from lab.proof.shell import ShellLink
from rollback.commit import HostWriter
from rollback.model import FileWrite, Transaction

COMPOSE, ENV, OLD = "docker-compose.yml", "conf/app.env", "old.conf"
NEW = b"services: {web: {image: b}}\n"
DONE, LEFT, BROKEN = 0, 100, 101
"""How the process ended: it did it all, left it to the shell, or left to the shell to take back what it had begun."""
PERL = '#!/bin/sh\n%s"%s" "$@"\ncode=$?\necho $code >>"%s"\nexit $code\n'


class Twin:
    """One of two beds on which the same is done: by one process where it can be, or by the shell's program alone."""

    def __init__(self, base, plainly):
        self.bed, self.plainly, self.codes = Bed(base), plainly, base / "codes"
        self.bed.make()
        (base / "bin").mkdir()
        self.perl()

    def perl(self, first=""):
        """What `perl` is on this host: the real one, which keeps how it ended; `first` is done before."""
        shim = self.bed.base / "bin" / "perl"
        shim.write_text(PERL % (first, shutil.which("perl"), self.codes))
        shim.chmod(0o755)

    def host(self, run="run-1", **more):
        bed = self.bed
        link = ShellLink(bed.project, bed.shell, path=str(bed.base / "bin"), **more)
        return HostWriter(
            link, str(bed.project), "shop", run=run, who="e@l", state_dir=str(bed.state), plainly=self.plainly
        )

    def prepared(self):
        host = self.host()
        host.prepare()
        return host

    def change(self, host, files, reads=(), name="t-1", **more):
        """Files: name -> new bytes, or None for one that goes."""
        found = host.read([str(self.bed.project / each) for each in (*files, *reads)])
        states = [state for state, _ in found.values()]
        own = {"uid": os.getuid(), "gid": os.getgid()}
        writes = tuple(
            FileWrite(state, data, **(own | more if state.sha256 is None and data is not None else more))
            for state, data in zip(states, files.values(), strict=False)
        )
        return Transaction(name, host.run, "s", str(self.bed.project), writes, reads=tuple(states[len(files) :]))

    def written(self, host, change):
        """Locks and commits in one exchange."""
        host.lock(wait=False)
        host.commit(change)

    def told(self, text):
        """A text without what differs between twins and runs."""
        text = str(text).replace(str(self.bed.base), "BED")
        text = re.sub(r'"(previous|at)": ?"[^"]*"', r'"\1":N', text)
        return re.sub(r"(since|renewed)[ =][^ ]*", r"\1 N", text)

    def all(self):
        """Everything that is there, with modes and owners, but for times and hashes of lines that hold one."""
        return {
            self.told(path): (entry.kind, self.told(entry.data.decode("utf-8", "replace")), entry.meta)
            for path, entry in power.tree(self.bed.base).items()
        }


@pytest.fixture
def twins(tmp_path):
    return Twin(tmp_path / "one", plainly=True), Twin(tmp_path / "two", plainly=False)
