"""The program that writes to hosts reads its header itself. Whatever a header says, all files are old or all are as it says,
nothing outside of the project changes, and every answer is one of the documented exit codes."""

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from inventory.errors import RunbookError
from lab.proof import plain
from lab.proof.bed import Bed
from rollback.door import program

pytestmark = pytest.mark.slow

EXAMPLES = min(int(os.environ.get("RUNBOOK_EXAMPLES", "15")), 200)
"""Each example starts some forty programs on the host, so the full run tries no more than so many."""
CODES = {0, 10, 11, 12, 13, 14}
WORDS = ("write", "read", "id", "story", "note", "absent", "object", "-", "0", "-1", "99999999999", "640", "7777", "t-1", "../x", "$(touch x)",
         "*", "", "a b", "\u00fc", "/", "{}", '{"a": 1}', "'", '"', "\\", "\t")  # fmt: skip


class Sent:
    """A good commit's data, and a bed where it can be made again and again. `plainly`: one that Perl does, lock and all."""

    def __init__(self, path, plainly):
        self.plainly = plainly
        self.bed = Bed(path / "bed")
        self.bed.make()
        self.outside = path / "outside"
        self.outside.mkdir()
        (self.outside / "victim").write_text("precious")
        host = self.bed.writer(plainly=plainly)
        host.prepare()
        if not plainly:
            host.lock()
        self.bed.keep()
        self.bed.again()
        transaction, run, sent = plain.change(self.bed, host) if plainly else self.bed.change(host), host.link.run, []
        if plainly:
            host.lock(wait=False)
        host.link.run = lambda *words, data=b"", **_: sent.append((words[1:], data)) or run("exit 12")
        with pytest.raises(RunbookError):
            host.commit(transaction)
        host.link.run = run
        ((self.words, self.data),) = sent
        self.link, self.before = host.link, self.bed.files()
        length, _, rest = self.data.partition(b"\n")
        self.lines, self.blobs = rest[: int(length)].split(b"\n")[:-1], rest[int(length) :]

    def packed(self, lines, length=None):
        header = b"".join(line + b"\n" for line in lines)
        return b"%d\n" % (len(header) if length is None else length) + header + self.blobs

    def holds(self, verb, data):
        """Sends it, repairs as the next command would, and looks at everything."""
        self.bed.again()
        verb = f"lock+{verb}" if self.plainly and verb == "commit" else verb
        reply = self.link.run(program(), verb, *self.words[1:], data=data)
        assert reply.exit in CODES, reply
        after = self.bed.writer("run-9")
        after.unlock()
        after.recover()
        found = self.bed.files()
        if reply.exit:
            assert found == self.before, reply
        assert after.recover() == ()
        after.journal()
        assert [path.name for path in self.outside.iterdir()] == ["victim"]
        assert (self.outside / "victim").read_text() == "precious"
        assert not list(self.bed.project.rglob(".compose-runbook*"))
        return reply


@pytest.fixture(scope="module", params=["sh", "perl"])
def sent(tmp_path_factory, request):
    for needed in {"dash", request.param}:
        if not shutil.which(needed):
            pytest.skip(f"{needed} is not on this machine")
    return Sent(tmp_path_factory.mktemp("header"), request.param == "perl")


usual = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
word = some.sampled_from(WORDS) | some.text(some.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=12)


def test_the_data_that_is_changed_here_is_good_as_it_is(sent):
    assert sent.holds("commit", sent.packed(sent.lines)).exit == 0
    assert sent.bed.files() != sent.before


@pytest.mark.parametrize("name", [b"", b"id ", b"id ../x", b"id -x", b"id a b", b"id *"])
def test_a_header_that_names_no_transaction_writes_nothing(sent, name):
    assert sent.holds("commit", sent.packed([name, *sent.lines[1:]])).exit == 12
    assert sent.bed.files() == sent.before


@pytest.mark.parametrize("number", [b"id", b"t-1", b"08", b"-1", b"1e3", b"$x", b"99999999999999999999"])
@pytest.mark.parametrize(("line", "word"), [(b"story ", 1), (b"write ", 11), (b"write ", 12)])
def test_a_header_with_a_number_that_is_none_writes_nothing(sent, line, word, number):
    lines = list(sent.lines)
    at = next(at for at, each in enumerate(lines) if each.startswith(line) and each.split(b" ")[word].isdigit())
    words = lines[at].split(b" ")
    words[word] = number
    lines[at] = b" ".join(words)
    reply = sent.holds("commit", sent.packed(lines))
    assert reply.exit == 12, reply
    assert sent.bed.files() == sent.before


@pytest.mark.parametrize("word", range(1, 13))
def test_a_header_that_lacks_a_word_writes_nothing(sent, word):
    at = next(at for at, each in enumerate(sent.lines) if each.startswith(b"write "))
    words = sent.lines[at].split(b" ")
    for lacking in ([*words[:word], b"", *words[word + 1 :]], [*words[:word], *words[word + 1 :]]):
        reply = sent.holds("commit", sent.packed([*sent.lines[:at], b" ".join(lacking), *sent.lines[at + 1 :]]))
        assert reply.exit in {10, 12}, reply
        assert sent.bed.files() == sent.before


@pytest.mark.parametrize("length", [b"", b"x", b"08", b"-1", b"1 2", b"99999999999999999999"])
@pytest.mark.parametrize("verb", ["commit", "read", "note", "unlock", "prune"])
def test_data_whose_length_is_no_number_does_nothing(sent, verb, length):
    reply = sent.holds(verb, length + b"\n" + sent.data)
    assert reply.exit == 12, reply
    assert sent.bed.files() == sent.before


@given(data=some.data())
@usual
def test_a_header_with_other_words_writes_all_or_nothing_and_never_outside(sent, data):
    lines = list(sent.lines)
    for _ in range(data.draw(some.integers(1, 3))):
        at = data.draw(some.integers(0, len(lines) - 1))
        words = lines[at].split(b" ")
        how = data.draw(some.sampled_from(("word", "drop", "double", "swap", "outside")))
        if how == "drop" and len(lines) > 1:
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "swap":
            lines[at], lines[0] = lines[0], lines[at]
        elif how == "outside":
            lines[at] = lines[at].replace(os.fsencode(sent.bed.project), os.fsencode(sent.outside))
        else:
            words[data.draw(some.integers(0, len(words) - 1))] = data.draw(word).encode()
            lines[at] = b" ".join(words)
    sent.holds("commit", sent.packed(lines))


@given(noise=some.binary(max_size=200), length=some.integers(-1, 400) | some.none())
@usual
def test_noise_in_place_of_a_header_writes_nothing(sent, noise, length):
    for verb in ("commit", "read"):
        data = noise if length is None else b"%d\n" % length + noise
        reply = sent.holds(verb, data)
        assert sent.bed.files() == sent.before, reply


@given(length=some.integers(0, 3000))
@usual
def test_data_that_is_cut_anywhere_writes_nothing(sent, length):
    if length < len(sent.data):
        assert sent.holds("commit", sent.data[:length]).exit != 0
