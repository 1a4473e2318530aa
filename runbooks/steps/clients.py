"""How a port is asked from inside a container, by each client that an image may ship. Pure.

`{port}` stands for the port, so that the proof can ask the same of a wrong one. A check never holds a secret: `$NAME` is
read inside the container.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

WRONG_PORT = 1
"""A port that nothing listens on in a container (tcpmux, unassigned in practice)."""
BY_PORT = "by its declared port"
_CLIENTS = ("curl", "wget", "nc", "bash")
_ALPINE = ("wget", "nc", "curl", "bash")
"""busybox has wget and nc in every Alpine image; curl and bash are extras there."""
_PROGRAM = re.compile(r'(?:\w+=(?:"[^"]*"|\S+) )*(\S+)')


@dataclass(frozen=True)
class Check:
    """One candidate. `test` in Compose's exec form with `{port}`; `source` says where it is from."""

    test: tuple[str, ...]
    source: str

    def at(self, port: int) -> tuple[str, ...]:
        """The test for one port."""
        return tuple(word.replace("{port}", str(port)) for word in self.test)

    @property
    def client(self) -> str:
        """The program that asks."""
        if self.test[0] == "CMD":
            return self.test[1]
        found = _PROGRAM.match(self.test[1])
        return found[1] if found else ""


@dataclass(frozen=True)
class Entry:
    """The candidates of an image, its usual port, and how long it usually takes to start (the `start_period`).

    `configured`: which port it listens on is a matter of its configuration, so a declared one is likelier than `port`.
    `roles`: the image runs in several roles, and only the one that declares `port` answers there.
    `blind`: the image is known to ship no program that could ask; only a live container can tell otherwise.
    """

    port: int
    checks: tuple[Check, ...]
    start_period: str = "30s"
    configured: bool = False
    roles: bool = False
    blind: bool = False

    def on_alpine(self) -> Entry:
        """The same with the programs first that every Alpine image has."""
        return replace(self, checks=by_client(self.checks, _ALPINE), blind=False)


def by_client(checks: Iterable[Check], order: tuple[str, ...]) -> tuple[Check, ...]:
    """Checks in an order of the general clients; an image's own client stays before them."""
    return tuple(
        sorted(checks, key=lambda check: order.index(check.client) + 1 if check.client in order else 0)
    )  # fmt: skip


def shell(text: str, source: str) -> Check:
    return Check(("CMD-SHELL", text), source)


def http(path: str, source: str, client: str = "curl", *, scheme: str = "http") -> tuple[Check, ...]:
    """A GET, by the client that the image ships first; `curl -f`, since curl alone calls a 500 a success."""
    url = f"{scheme}://127.0.0.1:{{port}}{path}"
    insecure = " -k" if scheme == "https" else ""
    asked = (
        shell(f"curl -fsS{insecure} -o /dev/null {url} || exit 1", source),
        shell(f"wget -q -O /dev/null{' --no-check-certificate' if insecure else ''} {url} || exit 1", source),
        *connects(source),
    )
    return by_client(asked, (client, *_CLIENTS))


def connects(source: str, client: str = "nc") -> tuple[Check, ...]:
    """Only that the port accepts: for images without an HTTP client, or without HTTP."""
    asked = (
        shell("nc -z 127.0.0.1 {port} || exit 1", source),
        Check(("CMD", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/{port}"), source),
    )
    return by_client(asked, (client, *_CLIENTS))


def runtime(*words: str) -> tuple[Check, ...]:
    """A GET / by a language's own interpreter, for images that have that and no HTTP client."""
    return (Check(("CMD", *words), "the runtime's own HTTP client"), *http("/", BY_PORT))


def web(port: int, path: str, source: str, start_period: str = "30s", *, client: str = "curl",
        configured: bool = False, roles: bool = False) -> Entry:  # fmt: skip
    """An image that answers HTTP on its usual port."""
    return Entry(port, http(path, source, client), start_period, configured, roles)


def port(number: int, source: str, *first: Check, start_period: str = "30s", client: str = "bash",
         configured: bool = False) -> Entry:  # fmt: skip
    """An image without HTTP, or whose HTTP needs a login: its own client, else that the port accepts."""
    return Entry(number, (*first, *connects(source, client)), start_period, configured)


def blind(number: int, path: str, source: str) -> Entry:
    """An image that answers HTTP and ships nothing to ask with; some of its versions or variants do."""
    return Entry(number, http(path, source), blind=True)


def node_get(path: str, source: str) -> Check:
    """A GET by Node's own client. Redirects lead to a public address, so they count as an answer."""
    return Check(
        ("CMD", "node", "-e", f"fetch('http://127.0.0.1:{{port}}{path}',{{redirect:'manual'}})"
         ".then(r=>process.exit(r.status<400?0:1)).catch(()=>process.exit(1))"), source,
    )  # fmt: skip


def php_connect(source: str) -> Check:
    """That the port accepts, asked by PHP, which every PHP image has."""
    return Check(("CMD", "php", "-r", "exit(@fsockopen('127.0.0.1',{port})?0:1);"), source)


NODE = runtime(
    "node", "-e", "fetch('http://127.0.0.1:{port}/').then(r=>process.exit(r.status<500?0:1)).catch(()=>process.exit(1))"
)
PYTHON = runtime(
    "python3",
    "-c",
    "import urllib.request,urllib.error\ntry: urllib.request.urlopen('http://127.0.0.1:{port}/',timeout=4)\nexcept urllib.error.HTTPError as e: raise SystemExit(e.code>=500)",
)
RUBY = runtime(
    "ruby", "-rnet/http", "-e", "exit Net::HTTP.get_response(URI('http://127.0.0.1:{port}/')).code.to_i < 500"
)
PHP = runtime("php", "-r", "exit(@fsockopen('127.0.0.1',{port})?0:1);")
BUN = runtime("bun", "-e", "const r=await fetch('http://127.0.0.1:{port}/');process.exit(r.status<500?0:1)")
DENO = runtime("deno", "eval", "const r=await fetch('http://127.0.0.1:{port}/');Deno.exit(r.status<500?0:1)")
UNKNOWN = (
    *http("/health", BY_PORT),
    *http("/healthz", BY_PORT)[:2],
    *http("/", BY_PORT)[:2],
)
"""For an image that nobody knows, by its declared port, when the live container can be asked."""
