"""What hosts of a fleet share of their connections, and what each keeps to itself. Needs no server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from inventory import transport
from inventory.model import Host, Project
from inventory.once import Once


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections that were opened, without a server: each is asked for what it would be opened with."""
    import fabric

    found: list[Any] = []

    def opens(connection: Any) -> None:
        found.append(connection)

    monkeypatch.setattr(fabric.Connection, "open", opens)
    monkeypatch.setattr(fabric.Connection, "is_connected", True)
    monkeypatch.setattr(transport, "close", lambda _made: None)
    monkeypatch.setattr(transport, "_SETTINGS", Once())
    return found


def reach(opened: list[Any], host: Host) -> Any:
    """The connection of a host, as far as one comes without a server."""
    with pytest.raises(Exception, match="no connection was made"):
        transport.open_connection(host, 5.0)
    return opened[-1]


def host(config: Path, **changes: object) -> Host:
    variables = {
        "ansible_ssh_common_args": f"-F {config} -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null"
    }
    return replace(Host("web-1", "one", Project("/srv/shop"), variables=variables), **changes)


def test_hosts_with_one_ssh_config_share_settings_and_keep_keys_users_and_ports_to_themselves(
    tmp_path: Path, opened: list[Any]
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host one\n  IdentityFile /keys/one\n  ForwardAgent yes\nHost two\n  IdentityFile /keys/two\n  Port 2222\n  User eve\n"
    )
    one = reach(opened, host(config))
    before = repr(one.config)
    two = reach(opened, host(config, address="two"))
    three = reach(opened, host(config, address="three", key_file="/keys/three", user="sam", port=22022))
    again = reach(opened, host(config))
    assert [each.connect_kwargs["key_filename"] for each in opened] == [
        ["/keys/one"],
        ["/keys/two"],
        ["/keys/three"],
        ["/keys/one"],
    ]
    assert [each.port for each in opened] == [22, 2222, 22022, 22]
    assert [each.user for each in (two, three)] == ["eve", "sam"] and one.user == again.user
    assert [each.forward_agent for each in opened] == [True, False, False, True]
    assert all(each.config is one.config for each in opened) and repr(one.config) == before


def test_what_fabrics_own_settings_say_of_connecting_still_counts(
    tmp_path: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("Host two\n  IdentityFile /keys/two\n")
    (tmp_path / ".fabric.json").write_text('{"connect_kwargs": {"passphrase": "p", "key_filename": "/keys/all"}}')
    monkeypatch.setenv("HOME", str(tmp_path))
    one, two = reach(opened, host(config)), reach(opened, host(config, address="two"))
    assert (one.connect_kwargs["passphrase"], one.connect_kwargs["key_filename"]) == ("p", ["/keys/all"])
    assert (two.connect_kwargs["passphrase"], two.connect_kwargs["key_filename"]) == ("p", ["/keys/all", "/keys/two"])
    assert reach(opened, host(config)).connect_kwargs["key_filename"] == ["/keys/all"]


def test_another_ssh_config_has_settings_of_its_own(tmp_path: Path, opened: list[Any]) -> None:
    for name in "ab":
        (tmp_path / name).write_text(f"Host *\n  User {name}\n")
    made = [reach(opened, host(tmp_path / name)) for name in "ab"]
    assert [each.user for each in made] == ["a", "b"] and made[0].config is not made[1].config


def test_settings_are_made_once_however_many_hosts_ask_for_them_in_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[Any]
) -> None:
    import fabric

    made, all_ask, init = list[object](), Barrier(8), fabric.Config.__init__

    def slowly(self: Any, *given: Any, **named: Any) -> None:
        made.append(self)
        init(self, *given, **named)

    monkeypatch.setattr(fabric.Config, "__init__", slowly)
    config = transport.parsed(f"Host one\n  User {tmp_path.name}\n")

    def asks(_number: int) -> Any:
        all_ask.wait(30)
        return transport.settings(config)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(asks, range(8)))
    assert len({id(each) for each in found}) == 1 and made == found[:1]
