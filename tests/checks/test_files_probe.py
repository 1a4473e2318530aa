"""The `files` probe: what is on a host is byte for byte what should be there, and what should not be there is not."""

import hashlib

import pytest

from checks.model import Probe
from checks.probes import round_
from inventory.connection import LocalLink
from inventory.errors import InputError
from inventory.model import Host, Project

HOST = Host("here", "here", Project("/srv/shop"), connection="local")


def sample(digests):
    (found,) = round_(LocalLink(HOST), [Probe("files", "written", "", {"sha256": digests})], "shop")
    return found


def test_files_that_are_as_written_are_well_and_another_byte_is_told(tmp_path):
    digests = {}
    for name in ("compose.yml", "a b's.env", "back\\slash"):
        (tmp_path / name).write_text(name)
        digests[str(tmp_path / name)] = hashlib.sha256(name.encode()).hexdigest()
    digests[str(tmp_path / "gone")] = "absent"
    assert sample(digests).ok is True
    (tmp_path / "a b's.env").write_text("other")
    found = sample(digests)
    assert found.ok is False and "checksum" in found.detail
    (tmp_path / "a b's.env").write_text("a b's.env")
    (tmp_path / "gone").symlink_to("nowhere")
    assert sample(digests).ok is False and "is there" in sample(digests).detail


def test_how_long_it_takes_is_no_answering_time_and_is_not_measured(tmp_path):
    """What is timed beside it still is."""
    (tmp_path / "a").write_text("a")
    asked = [
        Probe("files", "written", "", {"sha256": {str(tmp_path / "a"): hashlib.sha256(b"a").hexdigest()}}),
        Probe("files", "gone", "", {"sha256": {str(tmp_path / "b"): "0" * 64}}),
        Probe("command", "timed", "", {"command": ["true"], "on_host": True}),
    ]
    written, gone, timed = round_(LocalLink(HOST), asked, "shop")
    assert (written.ok, written.latency_s, gone.ok, gone.latency_s) == (True, None, False, None)
    assert timed.ok and timed.latency_s is not None


def test_a_file_that_is_gone_is_not_well(tmp_path):
    assert sample({str(tmp_path / "none"): "0" * 64}).ok is False


@pytest.mark.parametrize("given", [None, {}, "x"])
def test_a_files_probe_without_files_is_refused(given):
    with pytest.raises(InputError, match="needs files"):
        sample(given)
