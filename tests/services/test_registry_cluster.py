"""Three real etcds as the step starts them, on loopback, each behind a registrar of its own: what is lost when members die."""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from runbooks.steps import registry_cluster, service_registry
from tests.services import servers
from tests.services.test_registrar import Registrar, Service, answers, etcdctl, registrar

NAMES = ("east", "north", "west")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("etcd") or not shutil.which("openssl"), reason="etcd or openssl is not here"),
]


def certificates(folder: Path) -> None:
    """An authority of its own, and one certificate for loopback."""
    own = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    made = [
        ["req", "-x509", *own, "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem"],
        ["req", "-x509", *own, "-subj", "/CN=member", "-addext", "subjectAltName=IP:127.0.0.1", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
         "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"],
    ]  # fmt: skip
    for words in made:
        subprocess.run(["openssl", *words], cwd=folder, check=True, **servers.QUIET)


class Cluster:
    """Members on loopback, whose peers know each other by certificate, a service, and what registers it three times."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        certificates(folder)
        self.folder, self._held = folder, held
        self.ports = {name: servers.free_port() for name in NAMES}
        self.peers = {name: servers.free_port() for name in NAMES}
        self.members = {name: held.enter_context(self._runs(name)) for name in NAMES}
        answers(lambda: all(self.well(name) for name in NAMES))
        db = Service()
        db.open()
        held.callback(db.close)
        health = held.enter_context(servers.aggregator({"CHECK_db": f"tcp://127.0.0.1:{db.port}"}, folder)).port
        self.registrars: dict[str, Registrar] = {
            name: held.enter_context(registrar(self.ports[name], health, name, db=5432)) for name in NAMES
        }
        answers(lambda: all(self.seen(name) == set(NAMES) for name in NAMES))

    def _runs(self, name: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        cluster = {each: f"127.0.0.1:{port}" for each, port in self.peers.items()}
        member = registry_cluster.member(
            {"registry_cluster": cluster, "registry_member": name, "registry_peer_tls": "/any"}
        )
        own, peers = f"http://127.0.0.1:{self.ports[name]}", f"https://127.0.0.1:{self.peers[name]}"
        words = service_registry.etcd_words(own, own, peers, str(self.folder / name), member)
        return servers.running(
            [word.replace(registry_cluster.TLS, str(self.folder)) for word in words], self.ports[name]
        )

    def well(self, name: str) -> bool:
        return etcdctl(self.ports[name], "endpoint", "health").returncode == 0

    def seen(self, name: str) -> set[str]:
        """The instances that one host's registry knows."""
        reply = self.registrars[name].get("/services")
        return {each["instance"] for each in reply.document.get("entries", ())}

    def kill(self, name: str) -> None:
        self.members[name].send_signal(signal.SIGKILL)
        self.members[name].wait(60)

    def again(self, name: str) -> None:
        self.members[name] = self._held.enter_context(self._runs(name))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as held:
        yield Cluster(tmp_path, held)


def test_a_cluster_of_three_outlives_one_of_them_and_stands_still_without_two(cluster: Cluster) -> None:
    cluster.kill("east")
    answers(lambda: cluster.seen("west") == {"north", "west"})  # what was registered there ends with its lease
    assert cluster.registrars["west"].judged().ok is True
    assert cluster.registrars["east"].judged().ok is False
    assert etcdctl(cluster.ports["north"], "put", "/kept", "by two").returncode == 0

    cluster.kill("north")
    answers(lambda: cluster.registrars["west"].judged().ok is False)
    refused = etcdctl(cluster.ports["west"], "--command-timeout=1s", "put", "/lost", "by one")
    assert refused.returncode != 0

    cluster.again("north")
    answers(lambda: cluster.registrars["west"].judged().ok is True)
    assert etcdctl(cluster.ports["west"], "get", "/kept", "--print-value-only").stdout == "by two\n"
    cluster.again("east")
    answers(lambda: cluster.seen("east") == set(NAMES))


def test_who_has_no_certificate_of_the_members_authority_is_no_member(cluster: Cluster) -> None:
    place = f"https://127.0.0.1:{cluster.peers['east']}/members"
    known = ssl.create_default_context(cafile=cluster.folder / "ca.pem")
    with pytest.raises(OSError), urllib.request.urlopen(place, timeout=60, context=known) as reply:
        reply.read()
    known.load_cert_chain(cluster.folder / "cert.pem", cluster.folder / "key.pem")
    with urllib.request.urlopen(place, timeout=60, context=known) as reply:
        assert {each["name"] for each in json.load(reply)} == set(NAMES)
