"""A fleet's links: never more connected at once than was set, each connected when it is used, none closed in use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inventory.errors import Unreachable
from inventory.link import Reply
from inventory.model import Host, Project
from inventory.pool import Pool
from inventory.secrets import Mask
from tests.inventory.conftest import Server


def host(number: int) -> Host:
    return Host(f"web-{number}", "127.0.0.1", Project("/srv"), port=number)


class Counted:
    """Connections that are counted, and that notice being closed in use."""

    def __init__(self, dead: tuple[str, ...] = ()) -> None:
        self.lock, self.now, self.most, self.made, self.dead = threading.Lock(), 0, 0, [], dead

    def __call__(self, host: Host, _mask: Mask) -> Any:
        if host.name in self.dead:
            raise Unreachable("no answer", host=host.name)
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.made.append(host.name)
        return OneLink(self)


class OneLink:
    def __init__(self, counted: Counted) -> None:
        self.counted, self.open, self.busy = counted, True, 0

    def run(self, program: str, *_args: str, **_more: object) -> Reply:
        self.busy += 1
        time.sleep(0.005)
        assert self.open, "it was closed while it was used"
        self.busy -= 1
        return Reply(0, program.encode(), b"", 0.0)

    def close(self) -> None:
        assert self.busy == 0, "it was closed while it was used"
        self.open = False
        with self.counted.lock:
            self.counted.now -= 1


@pytest.mark.parametrize("most", [1, 3, 10])
def test_never_more_are_connected_than_was_set_and_all_are_served(most: int) -> None:
    counted = Counted()
    pool = Pool(most, Mask(), counted)
    links = [pool.link(host(number)) for number in range(30)]
    with ThreadPoolExecutor(16) as threads:
        for _ in range(3):
            assert [reply.text for reply in threads.map(lambda link: link.run("x"), links)] == ["x"] * 30
    assert counted.most <= most >= pool.peak > 0
    pool.close()
    assert counted.now == 0


def test_hosts_that_fit_stay_connected() -> None:
    counted = Counted()
    pool = Pool(3, Mask(), counted)
    links = [pool.link(host(number)) for number in range(3)]
    for _ in range(5):
        for link in links:
            link.run("x")
    assert sorted(counted.made) == ["web-0", "web-1", "web-2"] and links[0].exchanges == 5


def test_who_was_idle_longest_makes_room() -> None:
    counted = Counted()
    pool = Pool(2, Mask(), counted)
    first, second, third = (pool.link(host(number)) for number in range(3))
    for link in (first, second, first, third, first):
        link.run("x")
    assert counted.made == ["web-0", "web-1", "web-2"]


def test_a_host_that_cannot_be_reached_takes_nobodys_room() -> None:
    counted = Counted(dead=("web-0", "web-1", "web-2"))
    pool = Pool(1, Mask(), counted)
    for number in range(3):
        with pytest.raises(Unreachable):
            pool.link(host(number)).run("x")
    assert pool.link(host(3)).run("x").text == "x"


def test_a_link_is_connected_anew_after_it_made_room(server: Server) -> None:
    server.known("{here} " + server.public())
    before = len(server.sessions())
    pool = Pool(1, Mask())
    one, two = pool.link(server.host()), pool.link(server.host(name="web-2"))
    for _ in range(2):
        assert one.run("echo a").text == "a\n" and two.run("echo b").text == "b\n"
    assert pool.peak == 1 and len(server.sessions()) - before <= 2  # one may still be ending
    pool.close()


def test_two_threads_that_first_use_a_host_at_once_both_get_their_answer() -> None:
    counted: Callable[..., Any] = Counted()
    pool = Pool(4, Mask(), counted)
    link = pool.link(host(1))
    with ThreadPoolExecutor(8) as threads:
        assert {reply.text for reply in threads.map(lambda _: link.run("x"), range(40))} == {"x"}
    pool.close()
    assert counted.now == 0  # type: ignore[attr-defined]
