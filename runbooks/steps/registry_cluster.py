"""etcd as one of three or five members across hosts: who they are, how they find each other, and by which certificates."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from inventory.errors import InputError
from runbooks.steps import bounds

SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "registry_cluster": (dict, {}, "member -> ADDRESS or ADDRESS:PORT of its host, alike on all hosts; three or five"),
    "registry_member": (str, "", "which member of registry_cluster this host is"),
    "registry_peer_tls": (str, "", "a folder on the host with ca.pem, cert.pem and key.pem, by which members know each other"),
}  # fmt: skip
PORT = 2380
"""etcd's own for what members tell each other."""
TLS = "/registry-tls"
_SIZES = (3, 5, 7)
"""Odd: a cluster works while more than half of it is there, so a fourth member adds what can fail and no safety."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_PLACE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))(?::(?P<port>\d{1,5}))?")


class Member(NamedTuple):
    """This host's part: where it listens for the others, and all members as etcd wants them told."""

    name: str
    address: str
    port: int
    others: Mapping[str, str]
    """Member -> the URL that the others reach it by, this one included."""
    tls: str

    def words(self, token: str) -> list[str]:
        """What etcd is started with besides. `token`: what tells this cluster from others that know its members' addresses."""
        flags = [
            f"--name={self.name}", f"--initial-advertise-peer-urls={self.others[self.name]}", f"--initial-cluster-token={token}",
            f"--initial-cluster={','.join(f'{name}={url}' for name, url in self.others.items())}",
        ]  # fmt: skip
        if self.tls:
            flags += [
                "--peer-client-cert-auth", f"--peer-trusted-ca-file={TLS}/ca.pem", f"--peer-cert-file={TLS}/cert.pem",
                f"--peer-key-file={TLS}/key.pem",
            ]  # fmt: skip
        return flags

    @property
    def listen(self) -> str:
        return f"{'https' if self.tls else 'http'}://0.0.0.0:{PORT}"

    def parts(self) -> dict[str, Any]:
        """What the container of a member needs beyond that of a registry that stands alone."""
        own = f"[{self.address}]" if ":" in self.address else self.address
        return {"ports": [f"{own}:{self.port}:{PORT}"]}

    def volumes(self) -> list[str]:
        return [f"{self.tls}:{TLS}:ro"] if self.tls else []


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "registry_peer_tls" and value and (not value.startswith("/") or ":" in value or "$" in value):
        return f"{value!r} is no folder", "write an absolute path on the host"
    if name != "registry_cluster" or not value:
        return None
    if len(value) not in _SIZES:
        return f"has {len(value)} members", "name three, or five: it works while more than half of them are there"
    for member, place in value.items():
        if not _NAME.fullmatch(str(member)):
            return f"{str(member)[:40]!r} is no name of a member", "write letters, digits, - . and _"
        if _place(place) is None:
            return f"{member}: {place!r} is no address", "write the IP address of its host, or ADDRESS:PORT"
    if len({_place(place) for place in value.values()}) < len(value):
        return "two members have one address", "name each by its own host's"
    return None


def member(settings: Mapping[str, Any]) -> Member | None:
    """This host's part in the cluster; None where the registry stands alone. Raises InputError for settings that do not fit."""
    named, cluster, tls = settings["registry_member"], settings["registry_cluster"], settings["registry_peer_tls"]
    if not cluster:
        for key in ("registry_member", "registry_peer_tls"):
            if settings[key]:
                raise InputError("there is no registry_cluster", key=key, mend="name its members, or leave this out")
        return None
    if not named:
        raise InputError("which member this host is, is not said", key="registry_member", mend=f"write one of {', '.join(cluster)} for each host")  # fmt: skip
    if named not in cluster:
        raise InputError(f"{named!r} is no member of registry_cluster", key="registry_member", mend=bounds.near(named, tuple(cluster)))  # fmt: skip
    places = {str(each): _place(place) or ("", 0) for each, place in cluster.items()}
    if not tls:
        for each, (address, _) in places.items():
            if not ipaddress.ip_address(address).is_private:
                raise InputError(f"{each}: {address} is a public address, and members would trust whoever reaches it", key="registry_cluster", mend="name addresses of a private network, or set registry_peer_tls")  # fmt: skip
    scheme = "https" if tls else "http"
    urls = {each: f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}" for each, (address, port) in places.items()}  # fmt: skip
    return Member(named, *places[named], urls, tls.rstrip("/"))


def notes(found: Member) -> tuple[str, ...]:
    """What an operator has to know before it begins."""
    half = len(found.others) // 2 + 1
    open_to = (
        "by the certificates in " + found.tls if found.tls else "without a login: let nobody else reach that address"
    )
    return (
        f"a member begins to work when {half} of {len(found.others)} are there: their hosts are changed in one batch (--serial 100%)",
        f"members talk at {found.others[found.name]}, {open_to}",
    )  # fmt: skip


def _place(given: Any) -> tuple[str, int] | None:
    """Address and port; None for what is none."""
    found = _PLACE.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        return None
    try:
        address = str(ipaddress.ip_address(found["six"] or found["four"]))
    except ValueError:
        return None
    port = int(found["port"] or PORT)
    return (address, port) if 1 <= port <= 65535 else None
