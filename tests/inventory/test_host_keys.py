"""Who is let through: host keys are strict, and whatever keeps a link from being made is one clear line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from inventory.connection import connect
from inventory.errors import InputError, Unreachable
from inventory.link import Link
from inventory.model import Host
from inventory.secrets import Mask

Links = Callable[..., Link]


def refused(host: Host) -> Unreachable:
    """The error of a connection that must not be made, after which nothing of it is left."""
    before = threading.active_count()
    with pytest.raises(Unreachable) as caught:
        connect(host, Mask())
    for thread in threading.enumerate():
        if type(thread).__module__.startswith("paramiko"):
            thread.join(5)
    assert threading.active_count() <= before, "a refused connection was left open"
    assert "\n" not in str(caught.value) and caught.value.code == 5 and caught.value.host.startswith("web-1")
    return caught.value


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_how_to_verify_it(server) -> None:
    server.known()
    error = refused(server.host())
    assert server.fingerprint() in str(error) and "not in known_hosts" in str(error)
    assert "console" in error.mend and "ssh-keyscan" not in str(error) and "StrictHostKeyChecking" not in str(error)


def test_a_key_that_is_known_for_another_name_does_not_count(server) -> None:
    server.known("127.0.0.1 " + server.public(), "[127.0.0.1]:1 " + server.public(), "other " + server.public())
    assert "not in known_hosts" in str(refused(server.host()))


def test_a_line_that_takes_this_host_out_does_not_count(server) -> None:
    server.known("*,![127.0.0.?]:* " + server.public())
    assert "not in known_hosts" in str(refused(server.host()))


def test_a_changed_host_key_is_refused_with_both_fingerprints(server) -> None:
    other = (server.folder / "stranger.pub").read_text().split()[1]
    server.known(f"{{here}} ssh-ed25519 {other}")
    text = str(refused(server.host()))
    assert "changed" in text and server.fingerprint() in text
    assert text.count("SHA256:") == 2 and "console" in text


def test_a_revoked_host_key_is_refused_although_it_is_known(server) -> None:
    server.known("{here} " + server.public(), "@revoked * " + server.public())
    text = str(refused(server.host()))
    assert "@revoked" in text and server.fingerprint() in text


def test_a_revoked_host_key_that_is_not_known_is_said_to_be_revoked(server) -> None:
    server.known("@revoked * " + server.public())
    assert "@revoked" in str(refused(server.host()))


def test_certificate_authorities_that_cannot_be_used_are_named(server) -> None:
    server.known("@cert-authority *.example.com " + server.public(), "@cert-authority * " + server.public())
    text = str(refused(server.host()))
    assert "2 @cert-authority lines" in text and server.fingerprint() in text


def test_certificate_authorities_do_not_keep_known_keys_from_counting(server, links: Links) -> None:
    server.known("@cert-authority * " + server.public("rsa"), "{here} " + server.public())
    assert links(server.host()).run("echo in").text == "in\n"


@pytest.mark.parametrize(
    "line",
    [
        "{here} {key}",
        "other,{here} {key} a comment",
        "[127.0.0.*]:* {key}",
        "*,![10.*]:* {key}",
        "# remark\n\nnot a line at all\n{here} ssh-ed25519 AAAA!broken\n{here} {key}",
        "{here} {rsa}\n{here} {key}",
        "{here} {rsa}",
    ],
    ids=[
        "plain",
        "list",
        "glob",
        "glob with an exception",
        "among lines that cannot be read",
        "both kinds",
        "only the kind offered second",
    ],
)
def test_a_key_is_known_however_known_hosts_writes_it(server, links: Links, line: str) -> None:
    server.known(line.replace("{key}", server.public()).replace("{rsa}", server.public("rsa")))
    assert links(server.host()).run("echo in").text == "in\n"


def test_hashed_names_are_read(server, links: Links) -> None:
    import subprocess

    path = server.known("{here} " + server.public())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], capture_output=True, check=True)
    assert path.read_text().startswith("|1|")
    assert links(server.host()).run("echo in").text == "in\n"


def test_a_host_key_alias_is_what_known_hosts_is_asked_for(server, links: Links) -> None:
    server.known("the-alias " + server.public())
    assert links(server.host("-o HostKeyAlias=the-alias")).run("echo in").text == "in\n"


@pytest.mark.parametrize("word", ["no", "off", "accept-new"])
def test_host_key_checking_cannot_be_switched_off(server, word: str) -> None:
    with pytest.raises(InputError, match="host keys are always checked"):
        connect(server.host(f"-o StrictHostKeyChecking={word}"), Mask())


def test_a_file_that_switches_checking_off_is_not_obeyed(server, tmp_path: Path) -> None:
    server.known()
    config = tmp_path / "config"
    config.write_text(f"Host *\n StrictHostKeyChecking no\n UserKnownHostsFile {server.folder}/known_hosts\n")
    host = server.host(variables={"ansible_ssh_common_args": f"-F {config} -o GlobalKnownHostsFile=/dev/null"})
    assert "not in known_hosts" in str(refused(host))


def test_a_login_that_is_refused_names_the_user_and_the_key_but_no_folder(server) -> None:
    server.known("{here} " + server.public())
    text = str(refused(server.host("-o IdentitiesOnly=yes", key_file=str(server.folder / "stranger"))))
    assert "login as" in text and "stranger" in text and str(server.folder) not in text


def test_a_user_that_is_not_there_is_a_login_that_is_refused(server) -> None:
    server.known("{here} " + server.public())
    assert "login as nobody-here was refused" in str(refused(server.host(user="nobody-here")))


def test_a_key_file_that_is_not_there_is_said_so(server, tmp_path: Path) -> None:
    server.known("{here} " + server.public())
    error = refused(server.host(key_file=str(tmp_path / "absent")))
    assert "no key file" in str(error) and "ansible_ssh_private_key_file" in error.mend


def test_a_key_with_a_passphrase_is_said_so(server, tmp_path: Path) -> None:
    import subprocess

    server.known("{here} " + server.public())
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(tmp_path / "locked")], check=True
    )
    assert "passphrase" in str(refused(server.host(key_file=str(tmp_path / "locked"))))


def test_a_refused_connection_names_address_and_port(server) -> None:
    with socket.socket() as held:  # bound and not listening: nobody else can take the port, and nobody answers
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        text = str(refused(server.host(port=port)))
    assert f"cannot connect to 127.0.0.1:{port}" in text


def test_a_name_that_does_not_resolve_is_one_line(server) -> None:
    assert "cannot connect to" in str(refused(server.host(address="no-such-host.invalid")))


def test_a_port_that_does_not_speak_ssh_is_one_line(server) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def answer() -> None:
            with listening.accept()[0] as made:
                made.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        assert "cannot connect" in str(refused(server.host(port=listening.getsockname()[1])))


CONFIGS = {
    "a file that is not there": ("-F {tmp}/absent", Unreachable, "cannot read the ssh_config"),
    "a file that is not text": ("-F {tmp}/binary", Unreachable, "cannot read the ssh_config"),
    "a file with a line that is none": ("-F {tmp}/wrong", InputError, "cannot be read as ssh_config"),
    "a Match with nothing to match": ("-F {tmp}/match", InputError, "cannot be read as ssh_config"),
    "an option that is not known": ("-o Nonsense=1", InputError, "-o Nonsense is not supported"),
    "a flag that is not known": ("-v", InputError, "-v is not supported"),
    "an open quote": ("-o 'User=x", InputError, "cannot be split into words"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_ssh_arguments_that_cannot_be_used_are_one_line(server, tmp_path: Path, name: str) -> None:
    arguments, kind, words = CONFIGS[name]
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    (tmp_path / "wrong").write_text("Host\n  =\nnonsense\n")
    (tmp_path / "match").write_text("Match host\n  User y\n")
    with pytest.raises(kind, match=words) as caught:
        connect(server.host(arguments.format(tmp=tmp_path)), Mask())
    assert "\n" not in str(caught.value) and (caught.value.mend or kind is Unreachable)
