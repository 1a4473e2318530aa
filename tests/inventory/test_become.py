"""`ansible_become` with the real sudo, on a real SSH server whose accounts, sudoers and folders are a world of its own.

The world is a mount namespace: its /etc/passwd, /etc/shadow and /etc/sudoers stand over the machine's for this server
alone, and are gone with it. Making one needs root; without it these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.become import MARK
from inventory.connection import connect
from inventory.errors import InputError, Unreachable
from inventory.link import Link
from inventory.model import Host
from inventory.secrets import Mask
from rollback.commit import HostWriter, write_of
from rollback.model import Transaction
from tests.inventory.conftest import SSHD, Server, free_port, options, wait_for

PASSWORD = "it is a canary, sings"
WORLD = r"""
set -e
mount -t tmpfs none /mnt
mkdir -p /mnt/op/.ssh /mnt/etc /mnt/shop
cp "$1/authorized_keys" /mnt/op/.ssh/
chmod -R go+rX /mnt/op
printf 'services: {}\n' >/mnt/shop/docker-compose.yml
chmod 0700 /mnt/shop
cp /etc/passwd /etc/shadow /mnt/etc/
for name in asked free; do
    [ $name = asked ] && id=4242 || id=4243
    echo "$name:x:$id:$id::/mnt/op:/bin/sh" >>/mnt/etc/passwd
    echo "$name:$2:19000:0:99999:7:::" >>/mnt/etc/shadow
done
printf 'Defaults !lecture,timestamp_timeout=0\nasked ALL=(ALL:ALL) ALL\nfree ALL=(ALL:ALL) NOPASSWD: ALL\n' >/mnt/etc/sudoers
chmod 0440 /mnt/etc/sudoers
for name in passwd shadow sudoers; do mount --bind "/mnt/etc/$name" "/etc/$name"; done
shift 2
exec "$@"
"""
HASH = "$6$runbooktests$OC2EU5byRt5/9JtbNh3O9NsPch0i2NeJFzHJ03XwfVMesqZEbO3dAk2WYkrnjTVDtDVMqcgKZHRXpRwvaLKG70"
"""crypt(3) of PASSWORD, as `openssl passwd -6` gives it."""


@pytest.fixture(scope="session")
def world(server_keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the users `asked` (sudo wants a password) and `free` (it does not)."""
    if os.geteuid() != 0 or not shutil.which("sudo") or not shutil.which("unshare"):
        pytest.skip("needs root, sudo and unshare, to make a world with users of its own")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make mount namespaces")
    folder = tmp_path_factory.mktemp("world")
    for path in server_keys.iterdir():
        shutil.copy2(path, folder / path.name)
    shutil.copy2(folder / "login.pub", folder / "authorized_keys")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    settings = [
        f"ListenAddress 127.0.0.1:{port}", "PidFile none", "UsePAM no", "StrictModes no", "PasswordAuthentication no",
        f"HostKey {folder}/host_ed25519", "LogLevel QUIET", "AuthorizedKeysFile /mnt/op/.ssh/authorized_keys",
        "PerSourcePenalties no" if "PerSourcePenalties" in options() else "",
    ]  # fmt: skip
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    words = ["unshare", "--mount", "sh", "-c", WORLD, "sh", str(folder), HASH, SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]  # fmt: skip
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=(folder / "log").open("wb"))
    wait_for(port, child, folder / "log")
    made = Server(folder, port, child.pid)
    made.known("{here} " + made.public())
    yield made
    child.send_signal(signal.SIGTERM)
    child.wait(10)


@pytest.fixture
def reach(world: Server) -> Iterator[Callable[..., Link]]:
    """Connects as a user, with what the inventory says of the password."""
    opened: list[Link] = []

    def make(user: str, secret: object = None, mask: Mask | None = None) -> Link:
        host = world.host(user=user, become=True)
        more = {} if secret is None else {"ansible_become_password": secret}
        opened.append(connect(replace(host, variables={**host.variables, **more}), mask or Mask()))
        return opened[-1]

    yield make
    for link in opened:
        link.close()


@pytest.mark.parametrize(("user", "secret"), [("asked", PASSWORD), ("free", PASSWORD), ("free", None)])
@pytest.mark.parametrize("data", [b"", b"one\ntwo\x00\xff", f"{MARK}\nmore\n".encode(), b"x" * 300_000])
def test_a_program_is_run_as_root_and_its_data_is_its_own(
    reach: Callable[..., Link], user: str, secret: str | None, data: bytes
) -> None:
    link = reach(user, secret)
    reply = link.run('id -u; printf "<%s>" "$@"; cat', "a b", "", data=data, become=True)
    assert (reply.exit, reply.out) == (0, b"0\n<a b><>" + data)
    assert link.run("id -u").text in ("4242\n", "4243\n")


def test_a_program_that_fails_as_root_fails_with_its_own_code(reach: Callable[..., Link]) -> None:
    reply = reach("asked", PASSWORD).run("echo no >&2; exit 1", become=True)
    assert (reply.exit, reply.err) == (1, b"no\n")


@pytest.mark.slow
def test_a_wrong_password_is_one_line_that_does_not_hold_it(reach: Callable[..., Link]) -> None:
    with pytest.raises(Unreachable, match=r"^web-1: sudo refused: 3 incorrect password attempts") as caught:
        reach("asked", "wrong-canary").run("echo never", data=b"much\n" * 1000, become=True)
    assert "wrong-canary" not in str(caught.value)
    assert caught.value.code == 5


def test_a_password_that_the_inventory_does_not_name_is_said_to_be_missing(reach: Callable[..., Link]) -> None:
    with pytest.raises(Unreachable, match=r"sudo refused: a password is required \(give ansible_become_password"):
        reach("asked").run("echo never", become=True)


def test_a_become_password_comes_from_the_environment_or_a_command_and_is_masked(
    reach: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_SECRET", PASSWORD)
    for source in ({"from_env": "SUDO_SECRET"}, {"from_command": f"printf '{PASSWORD}'"}):
        mask = Mask()
        assert reach("asked", source, mask).run("id -u", become=True).text == "0\n"
        assert PASSWORD not in mask.hide(f"it was {PASSWORD}.")


def test_a_become_password_stands_in_no_process_list_and_no_environment(reach: Callable[..., Link]) -> None:
    program = 'for file in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do cat "$file" 2>/dev/null; done; ls -R /mnt /tmp/runbook* 2>/dev/null'
    seen = reach("asked", PASSWORD).run(program, data=b"data", become=True)
    assert b"sshd" in seen.out
    assert PASSWORD.encode() not in seen.out + seen.err


def test_a_become_password_of_two_lines_is_refused(world: Server) -> None:
    host = world.host(user="asked", become=True)
    two = replace(host, variables={**host.variables, "ansible_become_password": "one\ntwo"})
    with pytest.raises(InputError, match="ansible_become_password: has a line break or NUL in it"):
        connect(two, Mask())


@pytest.mark.parametrize("user", ["asked", "free"])
def test_a_project_that_only_root_may_touch_is_written_and_undone_through_sudo(
    reach: Callable[..., Link], user: str
) -> None:
    link = reach(user, PASSWORD)
    assert link.run("cat /mnt/shop/docker-compose.yml").exit != 0
    writer = HostWriter(link, "/mnt/shop", "shop", run="run-1", who="eve@laptop", state_dir=f"/mnt/state-{user}")
    writer.prepare()
    writer.lock()
    ((state, data),) = writer.read(["/mnt/shop/docker-compose.yml"]).values()
    assert (state.uid, data) == (0, b"services: {}\n")
    snapshot = writer.commit(Transaction("t-1", "run-1", "s", "/mnt/shop", (write_of(state, b"services: {a: {}}\n"),)))
    assert writer.read([state.path])[state.path][1] == b"services: {a: {}}\n"
    writer.undo(snapshot)
    assert writer.read([state.path])[state.path] == (state, data)
    writer.release()
    kept = link.run('grep -rl "$1" /mnt/state-* /mnt/shop', PASSWORD, become=True)
    assert kept.out == b""


def test_a_host_without_sudo_says_so() -> None:
    from inventory import become
    from inventory.link import Reply

    host = Host("web-1", "web-1", project=None, become=True)  # type: ignore[arg-type]
    for said in (b"sh: 1: sudo: not found\n", b"bash: line 1: sudo: command not found\n"):
        with pytest.raises(Unreachable, match="there is no sudo"):
            become.check(Reply(127, b"", said, 0.1), host)
