"""A mesh on a practice host: its two images, who is refused in plain text, and a renewal under load."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from runbooks import shipped
from runbooks.steps.service_mesh import SETTINGS
from tests.lab.conftest import Practice

BASE = "haproxy:3.2-alpine"
"""Some image of the lab: all of them have Debian's programs."""
ENVOY = f"FROM {BASE}\nUSER root\nCOPY envoy /usr/local/bin/envoy\nENTRYPOINT []\n"
AUTHORITY = (
    f"FROM {BASE}\nUSER root\nRUN install -d -o 65532 -g 65532 -m 0700 /authority && install -d /certificates && command -v openssl\n"
    'COPY services/ /app/services/\nWORKDIR /app\nUSER 65532:65532\nENTRYPOINT []\nCMD ["python3", "-m", "services.authority"]\n'
)
BUILD = 'docker build -q -t "$2" - >/dev/null && echo built'
COMPOSE = 'project=$1; shift; cd "$project" && docker compose '
CURL = COMPOSE + 'exec -T "$1" curl -s -o /dev/null -m 10 -w "%{http_code}" "$2"; echo " $?"'
ADDRESSES = 'docker inspect -f \'{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}\' $(cd "$1" && docker compose ps -q "$2")'
ASKING = """
import http.client, os, sys
done = failed = 0
while not os.path.exists("/tmp/enough"):
    try:
        asked = http.client.HTTPConnection("backend", 2000, timeout=30)
        asked.request("GET", "/health")
        failed += asked.getresponse().status != 200
        asked.close()
    except OSError:
        failed += 1
    done += 1
print(done, failed)
"""
SHOWN = """
import hashlib, socket, ssl
own = "/certificates/mesh-authority/current/"
context = ssl.create_default_context(cafile=own + "authority.pem")
context.check_hostname = False
context.load_cert_chain(own + "certificate.pem", own + "key.pem")
context.maximum_version = ssl.TLSVersion.TLSv1_2
with context.wrap_socket(socket.create_connection(("backend-mesh", 15100), 10)) as found:
    print(hashlib.sha256(found.getpeercert(True)).hexdigest())
"""
"""What certificate the backend's sidecar shows now, as the authority sees it."""
RENEWED = (
    COMPOSE
    + 'exec -T frontend rm -f /tmp/enough && { docker compose exec -T frontend python3 -c "$1" </dev/null >/tmp/asked 2>&1 & } && '
    'shown() { docker compose exec -T mesh-authority python3 -c "$2" </dev/null; }; changes=0; was=$(shown "$1" "$2"); '
    "while [ $changes -lt 3 ]; do docker compose restart mesh-authority >/dev/null 2>&1; "
    'until now=$(shown "$1" "$2" 2>/dev/null) && [ -n "$now" ] && [ "$now" != "$was" ]; do sleep 0.3; done; was=$now; changes=$((changes + 1)); done; '
    "docker compose exec -T frontend touch /tmp/enough; wait; cat /tmp/asked"
)


def images(host: Practice, envoy: Path) -> None:
    """Builds both on the host, from what the lab has there."""
    context = shipped.program("authority")
    programs = {path: data for path, data in context.items() if path.startswith("services/")}
    for tag, dockerfile, files in (
        (SETTINGS["mesh_image"][1], ENVOY, {"envoy": envoy.read_bytes()}),
        (shipped.image("mesh-authority", context), AUTHORITY, programs),
    ):
        said = host.sh(BUILD, tag, data=_packed({"Dockerfile": dockerfile.encode(), **files}))
        assert said.strip() == "built", said


def _packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def asked(host: Practice, inside: str, url: str) -> tuple[str, str]:
    """The status that curl gets in a service's container, and how it ends."""
    status, code = host.sh(CURL, inside, url).split()
    return status, code


def addresses(host: Practice, service: str) -> list[str]:
    return host.sh(ADDRESSES, service).split()


def renewed(host: Practice) -> tuple[int, int]:
    """Requests of a caller while three certificates followed each other, and how many of them failed."""
    done, failed = host.sh(RENEWED, ASKING, SHOWN).split()[-2:]
    return int(done), int(failed)


def is_in_force(host: Practice) -> None:
    """Callers get through; plain text does not, by the name, by the address, at the sidecar or through it."""
    assert asked(host, "frontend", "http://backend:2000/health") == ("200", "0")
    assert asked(host, "prometheus", "http://backend:2000/health") in [
        ("000", "6"),
        ("000", "28"),
    ]  # nobody of that name
    (own,) = addresses(host, "backend")
    assert asked(host, "prometheus", f"http://{own}:2000/health") in [("000", "28"), ("000", "7")]
    status, code = asked(host, "prometheus", "http://backend-mesh:15100/health")
    assert (status, code) in [("000", "52"), ("000", "56")]
    for address in addresses(host, "backend-mesh"):
        # What the backend reaches by its sidecar is there for the backend alone.
        assert asked(host, "prometheus", f"http://{address}:9600/")[1] in ("7", "28")
    done, failed = renewed(host)
    assert failed == 0
    assert done > 20


def left(host: Practice) -> str:
    """Networks and volumes of a mesh that are still there."""
    return host.sh(
        "docker network ls --format '{{.Name}}' | grep _mesh-; docker volume ls -q | grep _mesh-; true"
    ).strip()
