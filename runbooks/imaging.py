"""Brings the images of added services to a host before anything is written there: pulled by name, or built from a context."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from inventory.errors import Refused
from inventory.link import Link
from runbooks.model import NeededImage

PULL_S, BUILD_S = 600.0, 900.0
"""How long (s) an image may take to arrive or to be built."""
_ID = "docker image inspect -f '{{.Id}}' \"$1\" 2>/dev/null"
HAVE = _ID
PULL = f'docker pull -q "$1" >/dev/null || exit; {_ID}'
BUILD = f'docker build -q -t "$1" - >/dev/null || exit; {_ID}'
"""Each answers with the image's id. $1 its name; the context of a build, as a tar archive, is standard input."""

TRY = 'image=$1 program=$2; shift 2; exec docker run --rm -i --network none --entrypoint "$program" "$image" "$@" 2>&1'
TRY_S = 120.0
"""A program of an image on a file that is not written yet, in a container of its own that leaves nothing."""


def provide(link: Link, needed: Iterable[NeededImage]) -> dict[str, str]:
    """Sees that each image is on the host, and returns its id by the service that needs it.

    Raises Refused, with what the engine says, where one cannot be had, or where what is to be tried in it fails; Unreachable.
    """
    ids: dict[str, str] = {}
    known: dict[str, str] = {}
    for image in needed:
        if image.name not in known:
            known[image.name] = _provided(link, image)
        ids[image.service] = known[image.name]
        if image.argv:
            _tried(link, image)
    return ids


def _provided(link: Link, image: NeededImage) -> str:
    reply = link.run(HAVE, image.name, become=link.host.become)
    if reply.exit != 0:
        data = archive(image.context) if image.context else b""
        program, limit = (BUILD, BUILD_S) if image.context else (PULL, PULL_S)
        reply = link.run(program, image.name, data=data, timeout_s=limit, become=link.host.become)
    if reply.exit == 0 and reply.text.strip():
        return reply.text.strip()
    how = "built" if image.context else "pulled"
    raise Refused(
        f"the image {image.name} of {image.service} cannot be {how}: {reply.complaint[:300]}", host=link.host.name,
        mend="bring it there (docker save IMAGE | ssh HOST docker load), then repeat",
    )  # fmt: skip


def _tried(link: Link, image: NeededImage) -> None:
    reply = link.run(TRY, image.name, *image.argv, data=image.data, timeout_s=TRY_S, become=link.host.become)
    if reply.exit != 0:
        said = (reply.text.strip().splitlines() or [f"exit {reply.exit}"])[-1]
        raise Refused(f"{image.service} would not start with its file: {said[:300]}", host=link.host.name,
                      mend="mend what the plan makes the file from, then repeat")  # fmt: skip


def archive(context: Mapping[str, bytes]) -> bytes:
    """A build context as a tar archive; the same bytes for the same files."""
    import tarfile  # few stages build anything

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, data in sorted(context.items()):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()
