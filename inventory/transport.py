"""How an SSH connection is opened, and what else rides on it: strict host keys, the Docker API, HTTP.

Fabric reads ssh_config, agent and ProxyJump; its habit of accepting unknown host keys is replaced, for jumps too.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory import host_keys
from inventory.errors import InputError, Unreachable
from inventory.model import Host
from inventory.once import Once

if TYPE_CHECKING:
    import paramiko
    from fabric import Config, Connection

OPTIONS = (
    "hostname", "port", "user", "identityfile", "identitiesonly", "userknownhostsfile", "globalknownhostsfile",
    "hostkeyalias", "proxyjump", "proxycommand", "connecttimeout", "forwardagent", "batchmode", "loglevel",
    "stricthostkeychecking", "serveraliveinterval", "serveralivecountmax", "compression", "controlmaster",
    "controlpath", "controlpersist", "preferredauthentications",
)  # fmt: skip

_SETTINGS: Once[Config] = Once(256)
_PARSED: Once[paramiko.SSHConfig] = Once(256)


def open_connection(host: Host, limit_s: float) -> Connection:
    """A connected Fabric connection. Raises Unreachable for whatever keeps it from being made, in one line."""
    import logging

    from paramiko.ssh_exception import (
        AuthenticationException,
        BadHostKeyException,
        PasswordRequiredException,
        SSHException,
    )

    # What goes wrong is raised as one clear line; paramiko's own log would say it a second time.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    config = settings(ssh_config(host))
    # Fabric would write the keys of a host that names none into its settings, which are all hosts'.
    keys = (
        {"key_filename": [str(Path(host.key_file).expanduser())]}
        if host.key_file
        else {**config.connect_kwargs, "key_filename": []}
    )
    made = connection_class()(
        host.address, user=host.user, port=host.port, config=config, connect_timeout=limit_s, connect_kwargs=keys
    )
    try:
        host_keys.make_strict(made, host.name)
        made.open()
        transport = made.transport
        if transport is None:
            raise Unreachable("no connection was made", host=host.name)
        transport.set_keepalive(15)
    except BadHostKeyException as error:
        known, offered = host_keys.fingerprint(error.expected_key), host_keys.fingerprint(error.key)
        raise Unreachable(
            f"its host key has changed: known {known}, offered {offered}", host=host.name, mend=host_keys.VERIFY
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


def settings(config: paramiko.SSHConfig) -> Config:
    """Fabric's settings, made once for all hosts that share an ssh_config, as a connection only reads them."""
    from fabric import Config

    return _SETTINGS.get(config, lambda: Config(ssh_config=config, overrides={"load_ssh_configs": False}))


@lru_cache(maxsize=1)
def connection_class() -> type[Connection]:
    """Fabric's class, whose values keep to themselves what is set of them: Fabric looks whether each is to go into settings."""
    from fabric import Connection

    class Reading(Connection):  # type: ignore[misc, unused-ignore]
        def __setattr__(self, name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

    return Reading


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
    try:
        config = _PARSED.get(text, lambda: parsed(text))
        config.lookup(host.address)
    except (ssh_error(), ValueError, LookupError) as error:
        where = ", ".join(map(str, files)) or "ansible_ssh_common_args"
        raise InputError(f"cannot be read as ssh_config: {error}", path=where, host=host.name, mend="mend it, or name another with -F") from None  # fmt: skip
    return config


def parsed(text: str) -> paramiko.SSHConfig:
    """An ssh_config; looking hosts up in it changes nothing, so that all hosts with the same one share it."""
    from paramiko import SSHConfig

    config = SSHConfig()
    config.parse(io.StringIO(text))
    return config


def arguments(host: Host) -> tuple[list[tuple[str, str]], list[Path]]:
    """What `ansible_ssh_common_args` and its like say: options, and ssh_config files. Raises InputError for others."""
    from inventory.connection import config_path

    try:
        words = [
            word
            for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args")
            for word in host_keys.words(str(host.variables.get(name) or ""))
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


def identities(connection: Connection) -> list[str]:
    """The names of the key files that a login was tried with, never their folders."""
    found = connection.connect_kwargs.get("key_filename", []) or connection.ssh_config.get("identityfile", [])
    return [Path(path).name for path in ([found] if isinstance(found, str) else found)]
