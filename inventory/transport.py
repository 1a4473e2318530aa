"""How an SSH connection is opened, and what else rides on it: strict host keys, the Docker API, HTTP.

Fabric reads ssh_config, agent and ProxyJump; its habit of accepting unknown host keys is replaced, for jumps too.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory.errors import InputError, Unreachable
from inventory.model import Host

if TYPE_CHECKING:
    import docker
    import paramiko
    import requests
    from fabric import Connection

DOCKER_POOL = 4
"""Connections of the Docker API on one link: with more, sshd's MaxSessions of 10 is soon reached (FACTS)."""
OPTIONS = (
    "hostname", "port", "user", "identityfile", "identitiesonly", "userknownhostsfile", "globalknownhostsfile",
    "hostkeyalias", "proxyjump", "proxycommand", "connecttimeout", "forwardagent", "batchmode", "loglevel",
    "stricthostkeychecking", "serveraliveinterval", "serveralivecountmax", "compression", "controlmaster",
    "controlpath", "controlpersist", "preferredauthentications",
)  # fmt: skip
VERIFY = (
    "compare the fingerprint with the one that the host's owner reads on its console, then mend known_hosts by hand"
)


def open_connection(host: Host, limit_s: float) -> Connection:
    """A connected Fabric connection. Raises Unreachable for whatever keeps it from being made, in one line."""
    import logging

    from fabric import Config, Connection
    from paramiko.ssh_exception import (
        AuthenticationException,
        BadHostKeyException,
        PasswordRequiredException,
        SSHException,
    )

    # What goes wrong is raised as one clear line; paramiko's own log would say it a second time.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    config = Config(ssh_config=ssh_config(host), overrides={"load_ssh_configs": False})
    keys = {"key_filename": [str(Path(host.key_file).expanduser())]} if host.key_file else {}
    made = Connection(
        host.address, user=host.user, port=host.port, config=config, connect_timeout=limit_s, connect_kwargs=keys
    )
    try:
        make_strict(made, host.name)
        made.open()
        transport = made.transport
        if transport is None:
            raise Unreachable("no connection was made", host=host.name)
        transport.set_keepalive(15)
    except BadHostKeyException as error:
        known, offered = fingerprint(error.expected_key), fingerprint(error.key)
        raise Unreachable(
            f"its host key has changed: known {known}, offered {offered}", host=host.name, mend=VERIFY
        ) from None
    except PasswordRequiredException:
        raise Unreachable("the key has a passphrase", host=host.name, mend="ssh-add it, then repeat") from None
    except AuthenticationException:
        tried = ", ".join(identities(made)) or "the agent's keys"
        raise Unreachable(
            f"login as {made.user} was refused (tried {tried})", host=host.name, mend="see ansible_user and the key"
        ) from None
    except FileNotFoundError as error:
        raise Unreachable(
            f"no key file {error.filename}", host=host.name, mend="see ansible_ssh_private_key_file"
        ) from None
    except TimeoutError:
        raise Unreachable(f"{made.host}:{made.port} gave no answer in {limit_s:g} s", host=host.name) from None
    except (OSError, EOFError, SSHException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unreachable(f"cannot connect to {made.host}:{made.port}: {reason}", host=host.name) from None
    finally:
        if not made.is_connected:
            close(made)
    return made


def close(connection: Connection) -> None:
    """Ends a connection, half-made ones too, and the jumps that it went through, which Fabric leaves open."""
    connection.close()
    connection.client.close()
    if hasattr(connection.gateway, "client"):
        close(connection.gateway)


def ssh_error() -> type[Exception]:
    """paramiko's error class, imported only where a connection is used."""
    from paramiko.ssh_exception import SSHException

    return SSHException


def ssh_config(host: Host) -> paramiko.SSHConfig:
    """The ssh_config that holds for a host: its arguments first, then the file that it or the user names."""
    from paramiko import SSHConfig

    overrides, files = arguments(host)
    if not files:
        files = [path for path in (Path("~/.ssh/config").expanduser(), Path("/etc/ssh/ssh_config")) if path.exists()]
    text = "Host *\n" + "".join(f"    {key} {value}\n" for key, value in overrides) if overrides else ""
    for path in files:
        try:
            text += "\n" + path.read_text()
        except (OSError, UnicodeDecodeError):
            raise Unreachable(
                f"cannot read the ssh_config {path}", host=host.name, mend="for the practice hosts: ./inv lab.up"
            ) from None
    config = SSHConfig()
    try:
        config.parse(io.StringIO(text))
        config.lookup(host.address)
    except (ssh_error(), ValueError, LookupError) as error:
        where = ", ".join(map(str, files)) or "ansible_ssh_common_args"
        raise InputError(f"cannot be read as ssh_config: {error}", path=where, host=host.name, mend="mend it, or name another with -F") from None  # fmt: skip
    return config


def arguments(host: Host) -> tuple[list[tuple[str, str]], list[Path]]:
    """What `ansible_ssh_common_args` and its like say: options, and ssh_config files. Raises InputError for others."""
    from inventory.connection import config_path

    try:
        words = [
            word
            for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args")
            for word in shlex.split(str(host.variables.get(name) or ""))
        ]
    except ValueError as error:
        raise InputError(f"cannot be split into words: {error}", host=host.name, key="ansible_ssh_common_args", mend="close the quotes") from None  # fmt: skip
    options: list[tuple[str, str]] = []
    files: list[Path] = []
    if host.ssh_config:
        files.append(config_path(host.ssh_config))
    while words:
        word = words.pop(0)
        flag, value = word[:2], word[2:] or (words.pop(0) if words else "")
        if flag == "-F":
            files.append(config_path(value))
        elif flag == "-J":
            options.append(("ProxyJump", value))
        elif flag == "-o":
            key, _, text = value.partition("=") if "=" in value else value.partition(" ")
            if key.strip().lower() not in OPTIONS:
                raise InputError(f"-o {key} is not supported", host=host.name, key="ansible_ssh_common_args", mend="put it in an ssh_config and name that with -F")  # fmt: skip
            if key.strip().lower() == "stricthostkeychecking" and text.strip().lower() in ("no", "off", "accept-new"):
                raise InputError("host keys are always checked", host=host.name, key="ansible_ssh_common_args", mend="take StrictHostKeyChecking out and put the key in known_hosts")  # fmt: skip
            options.append((key.strip(), text.strip()))
        else:
            raise InputError(
                f"{word} is not supported", host=host.name, key="ansible_ssh_common_args", mend="use -F, -J or -o"
            )
    return options, files


def make_strict(connection: Connection, name: str) -> None:
    """Gives a connection, and each jump before it, the known host keys and a policy that refuses others."""
    from fabric import Connection

    lookup = connection.config.base_ssh_config.lookup(connection.original_host)
    alias = lookup.get("hostkeyalias", connection.host)
    plain = alias if connection.port == 22 or "hostkeyalias" in lookup else f"[{alias}]:{connection.port}"
    asked_for = connection.host if connection.port == 22 else f"[{connection.host}]:{connection.port}"
    known, revoked, authorities = read_known_hosts(known_hosts_files(lookup), plain)
    connection.client.get_host_keys().clear()
    for key in known:
        connection.client.get_host_keys().add(asked_for, key.get_name(), key)
    connection.client.set_missing_host_key_policy(refusal(name, revoked, authorities))
    wanted = {fingerprint(key) for key in known} & {fingerprint(key) for key in revoked}
    if wanted:
        raise Unreachable(f"its host key {min(wanted)} is @revoked in known_hosts", host=name, mend=VERIFY)
    if isinstance(connection.gateway, Connection):
        make_strict(connection.gateway, f"{name} (jump {connection.gateway.original_host})")


def known_hosts_files(lookup: Any) -> list[Path]:
    """The known_hosts files that an ssh_config names, else the usual ones."""
    user = lookup.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")
    system = lookup.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts")
    return [Path(word).expanduser() for text in (user, system) for word in shlex.split(text)]


def read_known_hosts(files: list[Path], name: str) -> tuple[list[paramiko.PKey], list[paramiko.PKey], int]:
    """The keys known for `name`, those revoked for anyone, and how many @cert-authority lines cannot be used here."""
    from paramiko.hostkeys import HostKeyEntry

    known: list[paramiko.PKey] = []
    revoked: list[paramiko.PKey] = []
    authorities = 0
    for path in files:
        if not path.is_file():
            continue
        for number, raw in enumerate(path.read_text(errors="replace").splitlines(), 1):
            text, marker = raw.strip(), ""
            if text.startswith("@"):
                marker, _, text = text.partition(" ")
            if marker == "@cert-authority":
                authorities += 1
                continue
            try:
                entry = HostKeyEntry.from_line(text, number) if text and not text.startswith("#") else None
            except Exception:  # noqa: S112 - a line that cannot be read is no known key
                continue
            if entry is None or entry.key is None:
                continue
            if marker == "@revoked":
                revoked.append(entry.key)
            elif not marker and entry.hostnames and names_host(entry.hostnames, name):
                known.append(entry.key)
    return known, revoked, authorities


def names_host(patterns: list[str], name: str) -> bool:
    """Whether a line of known_hosts is about a host: hashes, `*` and `?`, and `!` that takes a host out."""
    from paramiko.hostkeys import HostKeys

    def fits(pattern: str) -> bool:
        if pattern.startswith("|1|"):
            return str(HostKeys.hash_host(name, pattern)) == pattern
        form = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
        return re.fullmatch(form, name.lower()) is not None

    return any(fits(each) for each in patterns if each[:1] != "!") and not any(
        fits(each[1:]) for each in patterns if each[:1] == "!"
    )


def refusal(name: str, revoked: list[paramiko.PKey], authorities: int) -> paramiko.MissingHostKeyPolicy:
    """A policy that refuses a host whose key is not known, and says so with its fingerprint."""
    from paramiko import MissingHostKeyPolicy

    class Refuse(MissingHostKeyPolicy):
        def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
            if any(fingerprint(key) == fingerprint(other) for other in revoked):
                raise Unreachable(f"its host key {fingerprint(key)} is @revoked in known_hosts", host=name, mend=VERIFY)
            words = (
                f"; {authorities} @cert-authority lines were left out: they cannot be read here" if authorities else ""
            )
            raise Unreachable(
                f"its host key {fingerprint(key)} is not in known_hosts (known: none){words}", host=name, mend=VERIFY
            )

    return Refuse()


def fingerprint(key: paramiko.PKey) -> str:
    """A key's type and SHA256 fingerprint as `ssh-keygen -l` prints it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def identities(connection: Connection) -> list[str]:
    """The names of the key files that a login was tried with, never their folders."""
    found = connection.connect_kwargs.get("key_filename", []) or connection.ssh_config.get("identityfile", [])
    return [Path(path).name for path in ([found] if isinstance(found, str) else found)]


def docker_client(client: paramiko.SSHClient) -> docker.APIClient:
    """The host's Docker API, each of its connections a channel of the link that is there."""
    import docker
    from docker.transport.sshconn import SSHHTTPAdapter

    class ChannelAdapter(SSHHTTPAdapter):  # type: ignore[misc, unused-ignore]
        def __init__(self, link: paramiko.SSHClient) -> None:
            super().__init__("ssh://link", timeout=60, max_pool_size=DOCKER_POOL, shell_out=True)
            self.ssh_client = link

        def close(self) -> None:
            """Closes its channels; the link is not its own."""
            self.pools.clear()

    api = docker.APIClient(base_url="http://link:2375", version="1.41", timeout=60)
    api.mount(api.base_url, ChannelAdapter(client))
    api._version = api.version(api_version=False)["ApiVersion"]
    return api


def http_session(dialled: Callable[[str, int, float], Any]) -> requests.Session:
    """A requests session whose connections are dialled from the host, over the link."""
    import ssl

    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
    from urllib3.util.ssl_ import resolve_cert_reqs
    from urllib3.util.ssltransport import SSLTransport

    class Through(ssl.SSLContext):
        """TLS over what is no socket of the system, as a channel is none."""

        def wrap_socket(self, sock: Any, server_hostname: str | None = None, **_: Any) -> Any:  # type: ignore[override]
            return SSLTransport(sock, self, server_hostname)

    def connection_class(kind: Any) -> Any:
        class Dialled(kind):  # type: ignore[misc]
            def connect(self) -> None:
                if hasattr(self, "ssl_context"):
                    self.ssl_context = Through(ssl.PROTOCOL_TLS_CLIENT)
                    self.ssl_context.check_hostname = resolve_cert_reqs(self.cert_reqs) != ssl.CERT_NONE
                super().connect()

            def _new_conn(self) -> Any:
                limit = self.timeout if isinstance(self.timeout, (int, float)) else 10.0
                return socket_like(dialled(self._dns_host.strip("[]"), self.port, limit), limit)

        return Dialled

    class DialledAdapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            plain, secure = urllib3.HTTPConnectionPool, urllib3.HTTPSConnectionPool
            pools = {
                "http": type("Pool", (plain,), {"ConnectionCls": connection_class(plain.ConnectionCls)}),
                "https": type("TlsPool", (secure,), {"ConnectionCls": connection_class(secure.ConnectionCls)}),
            }
            self.poolmanager.pool_classes_by_scheme = pools

    session = requests.Session()
    session.trust_env = False
    for prefix in ("http://", "https://"):
        session.mount(prefix, DialledAdapter(pool_maxsize=DOCKER_POOL))
    return session


def socket_like(channel: Any, limit_s: float) -> Any:
    """A channel with a time limit for each read, as urllib3 expects of a socket."""
    channel.settimeout(limit_s)
    channel.setsockopt = lambda *_: None
    channel._io_refs, channel._decref_socketios = 0, lambda: None  # what SSLTransport counts on a socket
    return channel
