"""The locked requirements: what is wrong with one is named by file and line, and known vulnerabilities are asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from inventory.errors import InputError, RunbookError
from lab import audit, locks

HASH = "--hash=sha256:" + "a" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "some.in").write_text("# what it is for\nalpha>=1,<2 # why\n-c other.txt\n")
    (tmp_path / "some.txt").write_text(
        f"alpha==1.5 \\\n    {HASH} \\\n    {HASH}\nbeta==2 ; sys_platform == 'win32' \\\n    {HASH}\n"
    )
    return tmp_path


def test_the_locks_of_this_checkout_are_whole_and_what_is_installed_is_what_they_say() -> None:
    assert locks.problems() == []


def test_a_good_lock_gives_no_problem(folder: Path) -> None:
    assert locks.problems(folder) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"alpha>=1.5 \\\n    {HASH}\n", ["some.txt:1: alpha>=1.5 is not one version by name (./inv lock)", "some.txt: does not fit some.in: alpha>=1,<2 (./inv lock)"]),
        ("alpha==1.5\n", ["some.txt:1: alpha has no SHA-256, or something else for one (./inv lock)"]),
        (f"alpha==1.5 \\\n    {HASH} \\\n    --hash=md5:{'a' * 32}\n", ["some.txt:1: alpha has no SHA-256, or something else for one (./inv lock)"]),
        (f"alpha==1.5 \\\n    {HASH[:-1]}\n", ["some.txt:1: alpha has no SHA-256, or something else for one (./inv lock)"]),
        (f"# a word\n--index-url https://elsewhere.example/\nalpha==1.5 \\\n    {HASH}\n", ["some.txt:2: --index-url https://elsewhere.example/ is not one version by name (./inv lock)"]),
        (f"alpha==1.5 \\\n    {HASH}\nbeta @ https://elsewhere.example/beta.whl\n", ["some.txt:3: beta @ https://elsewhere.example/beta.whl is not one version by name (./inv lock)"]),
        (f"alpha==2.0 \\\n    {HASH}\n", ["some.txt: does not fit some.in: alpha>=1,<2 (./inv lock)"]),
        (f"beta==2.0 \\\n    {HASH}\n", ["some.txt: does not fit some.in: alpha>=1,<2 (./inv lock)"]),
    ],
    ids=["a range", "no hash", "a weak hash", "half a hash", "another index", "an address", "another version", "nothing of it"],
)  # fmt: skip
def test_what_is_wrong_with_a_lock_is_named_with_its_line_and_mend(folder: Path, text: str, said: list[str]) -> None:
    (folder / "some.txt").write_text(text)
    assert locks.problems(folder) == said


def test_a_lock_and_what_it_is_made_from_stand_side_by_side(folder: Path) -> None:
    (folder / "some.in").rename(folder / "other.in")
    assert locks.problems(folder) == [
        "some.txt: there is no some.in that it was made from",
        "other.in: there is no lock of it (./inv lock)",
    ]


def test_what_is_installed_in_another_version_is_named(folder: Path) -> None:
    (folder / "some.in").write_text("pytest\nno-such-package\n")
    (folder / "some.txt").write_text(
        f"pytest==1.0 \\\n    {HASH}\nno-such-package==1 \\\n    {HASH}\nbeta==2 ; sys_platform == 'win32' \\\n    {HASH}\n"
    )
    found = locks.problems(folder, "some")
    assert found == [
        f"some.txt: pytest should be 1.0 and is {pytest.__version__} (remove .venv and repeat)",
        "some.txt: no-such-package should be 1 and is not installed (remove .venv and repeat)",
    ]


class Service(BaseHTTPRequestHandler):
    """A service of advisories that knows of `known`, by package's name; `broken` makes it answer with an error."""

    known: dict[str, list[dict[str, object]]]
    broken: bool
    asked: list[str]

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = given["package"]["name"]
        self.asked.append(name)
        found = self.known.get(name, [])
        body = json.dumps({"vulns": found} if found else {}).encode()
        self.send_response(500 if self.broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Nothing of it on the screen."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Service.known, Service.broken, Service.asked = {}, False, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_known_vulnerabilities_are_asked_for_by_the_real_pip_audit(service: str) -> None:
    assert audit.advisories(service) == []
    assert {"paramiko", "aiohttp", "distributed"} <= set(Service.asked)
    advisory = {
        "id": "PYSEC-2026-1", "modified": "2026-01-01T00:00:00Z", "aliases": ["CVE-2026-1"], "details": "too bad",
        "affected": [{"package": {"name": "paramiko", "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999"}]}]}],
    }  # fmt: skip
    Service.known = {"paramiko": [advisory]}
    found = audit.advisories(service)
    assert [(each.lock, each.name, each.id, each.mended) for each in found] == [
        (lock, "paramiko", "PYSEC-2026-1", ("999",)) for lock in ("runtime", "dask")
    ]
    assert str(found[0]).endswith(" has PYSEC-2026-1 (mended in 999: ./inv lock --upgrade)")


@pytest.mark.slow
def test_a_service_that_does_not_answer_is_one_line_and_no_good_news(service: str) -> None:
    Service.broken = True
    for address in (service, "http://127.0.0.1:9/"):
        with pytest.raises(RunbookError) as caught:
            audit.advisories(address)
        assert str(caught.value).startswith(f"{address} was not asked about vulnerabilities: ")
        assert "\n" not in str(caught.value)


def test_what_pip_audit_left_out_does_not_count_as_looked_at(tmp_path: Path) -> None:
    left = json.dumps({"dependencies": [{"name": "alpha", "skip_reason": "alpha is not known here"}], "fixes": []})
    assert shutil.which("printf")
    with pytest.raises(RunbookError, match="alpha is not known here"):
        audit._answered(["printf", "%s", left], audit.SERVICE)


@pytest.mark.parametrize("address", ["http://elsewhere.example/", "ftp://x", "osv"])
def test_advisories_are_asked_for_over_https_alone(address: str) -> None:
    with pytest.raises(InputError, match="no address of HTTPS"):
        audit.advisories(address)
