"""What the controller makes of each answer of the program that writes: values, errors with their mend, and nothing else.

The answers stand here as text, so that every code and every word has its test; that the real program gives them is what
the other tests of this folder show.
"""

import hashlib
import json

import pytest

from inventory.errors import Drift, HostFailed, InputError, Locked, Refused
from inventory.link import Reply
from inventory.model import Host, Project
from rollback import journal, records
from rollback.commit import HostWriter, Prepared, program, sha256, write_of
from rollback.model import Event, FileState, FileWrite, Owner, Snapshot, Transaction

HEAD = "a" * 64
PATH = "/srv/shop/compose.yml"
BEFORE = FileState(PATH, "b" * 64, 0o640, 7, 8)
AFTER = FileState(PATH, "c" * 64, 0o600, 7, 9)
SNAPSHOT = Snapshot("t-1", "run-0", "conditions", "2026-01-01T00:00:00+00:00", "/srv/shop", (BEFORE,), (AFTER,), {"web": "sha256:1"})  # fmt: skip


class Parrot:
    """A host that gives these answers in turn, the last one again, and keeps what it was asked."""

    def __init__(self, *answers, become=False):
        self.host, self.exchanges = Host("web-1", "web-1", Project("/srv/shop"), become=become), 0
        self.answers, self.asked = list(answers), []

    def run(self, program, *args, data=b"", timeout_s=60.0, become=False, limit=1 << 26):
        self.exchanges += 1
        self.asked.append((program, args, data, timeout_s, become))
        code, out = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Reply(code, out.encode() if isinstance(out, str) else out, b"on standard error", 1.5)

    def together(self, calls, **more):
        return [self.run(each.program, *each.args, data=each.data, become=each.become, **more) for each in calls]


def told(*answers, **more):
    link = Parrot(*answers, **more)
    return link, HostWriter(link, "/srv/shop", "shop", run="run-1", who="eve@laptop", state_dir="/var/x")


def test_a_prepared_host_is_read_with_what_is_pending():
    link, host = told((0, f"clock 1760000000\nfree 1234\nhead {HEAD}\npending t-1\n"))
    assert host.prepare() == Prepared("/var/x", 1760000000, 1234, HEAD, "t-1", "")
    sent, args, data, timeout_s, become = link.asked[0]
    assert (sent, args) == (program(), ("prepare", "/var/x", "/srv/shop", "run-1", "eve@laptop"))
    assert (data, timeout_s, become) == (b"", 60.0, False)
    _, host = told((0, f"clock 1\nfree 2\nhead {HEAD}\n"))
    assert host.prepare().pending is None


@pytest.mark.parametrize("said", ["", "clock x\nfree 1\nhead " + HEAD, "clock 1\nfree 1\nhead " + HEAD[1:], "clock 1\nfree \u00b2\nhead " + HEAD])  # fmt: skip
def test_an_answer_that_prepares_nothing_is_a_failure_of_its_host(said):
    _, host = told((0, said))
    with pytest.raises(HostFailed) as caught:
        host.prepare()
    assert str(caught.value) == "web-1: its answer cannot be understood (see that /bin/sh and coreutils work there)"


def test_the_operator_is_one_word_of_plain_letters_whatever_the_machine_is_called():
    link = Parrot((0, "held\n"))
    HostWriter(link, "/srv/shop", "shop", run="run-1", who="eve smith@lap top$(id)", state_dir="/x").lock()
    assert link.asked[0][1][4] == "eve_smith@lap_top__id_"


def test_where_the_inventory_says_so_every_exchange_is_made_as_root():
    link, host = told((0, f"clock 1\nfree 2\nhead {HEAD}\n"), become=True)
    host.prepare()
    host.lock()
    assert [become for *_, become in link.asked] == [True] * len(link.asked)


OWNER = "locked 1000 run=run-9 who=ann@desk since=400 renewed={}"


@pytest.mark.parametrize(
    ("code", "said", "kind", "words"),
    [
        (10, f"drift {PATH} (absent)", Drift, f"web-1: {PATH} (absent) was changed since it was read (plan again, or restore the file)"),
        (11, OWNER.format(990), Locked,
         "web-1: ann@desk holds the lock since 1970-01-01T00:06:40+00:00 (run run-9) (wait for that run to end)"),
        (11, OWNER.format(500), Locked,
         "web-1: ann@desk holds the lock since 1970-01-01T00:06:40+00:00 (run run-9), and gave no sign since "
         "1970-01-01T00:08:20+00:00 (if that run is over, ./inv unlock --env E says what it left and breaks the lock)"),
        (11, "locked 1000 ", Locked, "web-1: this run no longer holds the lock (see ./inv status, then repeat)"),
        (12, "noise\nrefused no space here", Refused, "web-1: no space here"),
        (14, "pending t-1", Refused, "web-1: an interrupted transaction is pending: t-1 (repeat: the next run mends it first)"),
        (13, "cannot make /var/x", HostFailed, "web-1: writing ended with 13: cannot make /var/x"),
        (137, "", HostFailed, "web-1: writing ended with 137: on standard error"),
    ],
)  # fmt: skip
def test_each_way_to_refuse_is_one_line_with_its_mend(code, said, kind, words):
    _, host = told((code, said))
    with pytest.raises(kind) as caught:
        host.renew()
    assert type(caught.value) is kind
    assert str(caught.value) == words


def test_a_lock_is_stale_after_two_minutes_without_a_sign():
    for renewed, stale in ((880, False), (879, True)):
        _, host = told((0, OWNER.format(renewed)))
        found = host.owner()
        assert found == Owner("run-9", "ann@desk", "1970-01-01T00:06:40+00:00", records.utc(str(renewed)), stale)
    _, host = told((0, "free\n"))
    assert host.owner() is None


def test_breaking_a_lock_says_what_it_was():
    _, host = told((0, "released run=run-9 who=ann@desk since=1 renewed=2\n"))
    assert host.unlock() == "run=run-9 who=ann@desk since=1 renewed=2"


def test_what_was_mended_is_told_line_by_line():
    link, host = told((0, "mended journal: x\nreverted t-1\nlast abc\n"))
    assert host.recover() == ("mended journal: x", "reverted t-1")
    assert link.asked[0][3] == 120
    assert told((0, "whole\n"))[1].recover() == ()


@pytest.mark.parametrize("line", ['{"previous":"0","data":{"a b":1}}', "x", "head 1"])
def test_the_head_is_the_hash_of_the_line_that_is_told(line):
    assert told((0, f"released\nlast {line}\n"))[1].release() == hashlib.sha256(f"{line}\n".encode()).hexdigest()
    for nothing in ("head ", "last ", ""):
        assert told((0, f"released\n{nothing}\n"))[1].release() == ""


def test_a_commands_end_is_its_exit_code_and_its_output_is_what_stands_before():
    link, host = told((0, b"out\nexit 9 is no end\n\nexit 3\n"))
    assert host.execute(["docker", "compose", "up"], 77.0) == Reply(3, b"out\nexit 9 is no end\n", b"", 1.5)
    _, args, data, timeout_s, _ = link.asked[0]
    assert args[0] == "execute"
    assert timeout_s == 77.0
    assert data.endswith(b"\ndocker\ncompose\nup\n")
    assert b'"argv": ["docker", "compose", "up"]' in data
    for said in (b"", b"out", b"out\nexit \n", b"out\nexit x\n", "\nexit \u00b3\n".encode()):
        _, host = told((0, said))
        with pytest.raises(HostFailed) as caught:
            host.execute(["docker"], 1.0)
        assert str(caught.value) == "web-1: the end of docker is not known (the next command will see how it ended)"


def test_how_the_last_command_ended_is_told_with_its_words():
    assert told((0, "exit 3\ndocker compose up \n"))[1].last_command() == ("exit 3", "docker compose up")
    assert told((0, "none\n"))[1].last_command() == ("none", "")


def test_a_note_gives_the_journals_new_head():
    link, host = told((0, f"head {HEAD}\n"))
    assert host.note("gate", {"outcome": "pass"}, "t-1") == HEAD
    assert link.asked[0][2] == records.packed(["gate", "t-1", '{"outcome": "pass"}'])
    host.note("gate", {})
    assert link.asked[1][2] == records.packed(["gate", "-", "{}"])
    assert told((0, "\n"))[1].note("gate", {}) == ""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda host: host.note("a b", {}), "'a b' cannot be a kind (use letters, digits, dots, dashes and underscores)"),
        (lambda host: host.note("gate", {}, "../x"), "'../x' cannot be a id (use letters, digits, dots, dashes and underscores)"),
        (lambda host: host.prune(["ok", "a/b"]), "'a/b' cannot be a snapshot (use letters, digits, dots, dashes and underscores)"),
        (lambda host: host.read(["a\nb"]), "'a\\nb' has a line break or NUL in it (rename the file)"),
        (lambda host: host.execute(["a\0b"], 1.0), "'a\\x00b' has a line break or NUL in it (rename the file)"),
    ],
)  # fmt: skip
def test_a_word_that_could_not_stand_in_a_line_never_leaves_the_controller(call, words):
    link, host = told((0, ""))
    with pytest.raises(InputError) as caught:
        call(host)
    assert str(caught.value) == words
    assert link.asked == []


def test_pruning_names_the_snapshots_a_line_each():
    link, host = told((0, "swept\n"))
    host.prune(["t-1", "t-2"])
    assert (link.asked[0][1][0], link.asked[0][2]) == ("prune", records.packed(["t-1", "t-2"]))


def test_reading_gives_exactly_what_was_asked_for():
    data = b"services: {}\n"
    said = f"{sha256(data)} 640 7 8 - {len(data)} {PATH}\n".encode() + data + b"absent 0 0 0 - 0 /srv/shop/x\n"
    link, host = told((0, said))
    found = host.read([PATH, "/srv/shop/x"])
    assert found == {
        PATH: (FileState(PATH, sha256(data), 0o640, 7, 8), data),
        "/srv/shop/x": (FileState("/srv/shop/x", None, 0, 0, 0), None),
    }
    assert link.asked[0][2] == records.packed([PATH, "/srv/shop/x"])
    with pytest.raises(HostFailed, match=r"web-1: its answer to a read is not about all that was asked for \(repeat\)"):
        host.read(["/srv/shop/other"])


def test_a_commit_sends_the_story_the_new_bytes_and_what_must_still_hold():
    link, host = told((0, f"head {HEAD}\n"))
    other = FileState("/srv/shop/.env", "d" * 64, 0o600, 0, 0)
    write = FileWrite(BEFORE, b"new\n", mode=0o600, gid=9)
    made = host.commit(
        Transaction("t-1", "run-1", "conditions", "/srv/shop", (write,), (other,), {"web": "i"}, {"n": "o"})
    )
    assert (made.id, made.run, made.step, made.project_dir) == ("t-1", "run-1", "conditions", "/srv/shop")
    assert (made.images, made.note) == ({"web": "i"}, {"n": "o"})
    assert made.before == (BEFORE,)
    assert made.after == (FileState(PATH, sha256(b"new\n"), 0o600, 7, 9),)
    story = json.dumps(records.to_json(made)).encode()
    assert link.asked[0][2] == records.packed(
        [
            "id t-1", f"story {len(story)}", 'note {"n": "o"}',
            f"write {'b' * 64} 640 7 8 - {sha256(b'new' + bytes([10]))} 600 7 9 - {len(story)} 4 {PATH}",
            f"read {'d' * 64} 600 0 0 - /srv/shop/.env",
        ],
        story + b"new\n",
    )  # fmt: skip
    assert link.asked[0][3] == 120


def test_a_created_file_belongs_to_whom_the_folder_belongs():
    link, host = told((0, "33 44\n"), (0, f"head {HEAD}\n"))
    fresh = FileState("/srv/shop/made", None)
    made = host.commit(Transaction("t-1", "run-1", "s", "/srv/shop", (FileWrite(fresh, b"x"), FileWrite(BEFORE, None))))
    assert link.asked[0][:2] == ('stat -L -c "%u %g" "$1"', ("/srv/shop",))
    assert made.before == (FileState("/srv/shop/made", None, 0, 0, 0), BEFORE)
    assert made.after == (FileState("/srv/shop/made", sha256(b"x"), 0o644, 33, 44), FileState(PATH, None, 0, 0, 0))
    _, host = told((0, "33\n"))
    with pytest.raises(HostFailed, match="web-1: the owner of /srv/shop is not known"):
        host.commit(Transaction("t-1", "run-1", "s", "/srv/shop", (FileWrite(fresh, b"x"),)))


def test_an_undo_is_a_transaction_with_the_kept_bytes_that_names_what_it_undoes():
    link, host = told((0, f"head {HEAD}\n"))
    host.undo(SNAPSHOT)
    _, _, data, *_ = link.asked[0]
    length, _, rest = data.partition(b"\n")
    header, story = rest[: int(length)].decode().splitlines(), json.loads(rest[int(length) :])
    assert header[0] == "id run-1-undo-t-1"
    assert header[2:] == ['note {"undoes": "t-1"}', f"write {'c' * 64} 600 7 9 - {'b' * 64} 640 7 8 - object 0 {PATH}"]
    assert (story["run"], story["step"], story["project_dir"]) == ("run-1", "conditions", "/srv/shop")
    assert (story["images"], story["note"]) == ({"web": "sha256:1"}, {"undoes": "t-1"})
    assert [state["sha256"] for state in story["before"] + story["after"]] == ["c" * 64, "b" * 64]


def test_the_name_of_an_undo_keeps_its_last_hundred_letters():
    link, host = told((0, f"head {HEAD}\n"))
    host.undo(Snapshot(**{**SNAPSHOT.__dict__, "id": "x" * 120}))
    assert link.asked[0][2].split(b"\n")[1] == b"id " + b"x" * 100


def test_an_event_of_the_journal_has_all_that_its_line_says():
    line = {
        "previous": journal.FIRST,
        "at": "now",
        "kind": "begin",
        "run": "r",
        "id": "t",
        "who": "e",
        "data": {"a": 1},
    }
    first = json.dumps(line)
    digest = hashlib.sha256(first.encode() + b"\n").hexdigest()
    second = json.dumps({**line, "previous": digest, "at": "later", "kind": "commit", "data": {}})
    data = f"{first}\n\n{second}\n".encode()
    one, two = journal.read(data, "web-1")
    assert one == Event("now", "begin", "r", {"id": "t", "who": "e", "a": 1}, journal.FIRST, digest)
    assert (two.previous, two.at, two.hash) == (digest, "later", hashlib.sha256(second.encode() + b"\n").hexdigest())
    for head in (None, journal.FIRST, digest, two.hash):
        assert len(journal.read(data, "web-1", head)) == 2
    mend = "(see with ./inv status whether the files are as they should be)"
    for bad, head, words in (
        (b"[]\n" + data, None, "web-1: the journal's line 1 is damaged"),
        (data + b"{\n", None, "web-1: the journal's line 4 is damaged"),
        (f"{second}\n{first}\n".encode(), None, "web-1: the journal was altered before line 1"),
        (data.replace(b'"a": 1', b'"a": 2'), None, "web-1: the journal was altered before line 3"),
        (
            f"{first}\n".encode(),
            two.hash,
            "web-1: the journal was cut off or rewritten: the last known line is not in it",
        ),
    ):
        with pytest.raises(Refused) as caught:
            journal.read(bad, "web-1", head)
        assert str(caught.value) == f"{words} {mend}"
    with pytest.raises(Refused, match=r"^the journal's line 1 is damaged"):
        journal.read(b"x\n")


def test_a_write_keeps_what_it_does_not_name():
    assert write_of(BEFORE, b"x") == FileWrite(BEFORE, b"x")
    assert sha256(None) is None
    with pytest.raises(InputError) as caught:
        write_of(FileState(PATH, sha256(b"x")), b"x")
    assert str(caught.value) == f"{PATH}: nothing would change"
