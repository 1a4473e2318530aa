"""Builds the lab's images without an image registry: a base from the package mirror, hosts and services on it.

Each image is tagged with the hash of its recipe, so that nothing is built twice and a build that broke is taken up
where it stopped (the engine keeps the finished layers).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from inventory.errors import RunbookError
from lab import apt, engine
from lab.packages import apt_install
from lab.progress import Progress
from runbooks import shipped

if TYPE_CHECKING:
    import docker

FOLDER = Path(__file__).resolve().parent
REPOSITORY = "compose-runbook-lab"
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")


def base(client: docker.DockerClient, progress: Progress) -> str:
    """The tag of a minimal Debian image, made by debootstrap when it is not there."""
    recipe = json.dumps([apt.SUITE, apt.architecture(), EXCLUDED, apt.mirror(), apt.settings().decode()])
    tag = f"{REPOSITORY}:base-{digest(recipe.encode())}"
    if present(client, tag):
        return tag
    with engine.locked("images"):
        if present(client, tag):
            return tag
        if not shutil.which("debootstrap"):
            apt_install("debootstrap")
        progress("base image: debootstrap")
        with tempfile.TemporaryDirectory(prefix="runbook-base-") as folder:
            root = Path(folder) / "root"
            # In a mount namespace of its own: were it cut off, its /proc in the folder goes with it, and is never cleared away.
            argv = [
                "unshare",
                "--mount",
                "debootstrap",
                "--variant=minbase",
                f"--arch={apt.architecture()}",
                apt.SUITE,
                str(root),
                apt.mirror(),
            ]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                last = (done.stdout.strip() or done.stderr.strip() or "no output").splitlines()[-1]
                raise RunbookError(
                    f"debootstrap failed: {last}", mend="see that the package mirror answers, then repeat"
                )
            slim(root)
            progress("base image: import")
            pack = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
            if pack.stdout is None:
                raise RunbookError("tar gave no output")
            repository, _, name = tag.partition(":")
            client.api.import_image_from_stream(pack.stdout, repository=repository, tag=name)
            if pack.wait() != 0:
                raise RunbookError("the base image could not be packed", mend="see that the disk is not full")
    return tag


def slim(root: Path) -> None:
    """Takes out what no practice host reads, and writes the apt settings that later builds need."""
    for pattern in EXCLUDED:
        for path in root.glob(pattern.lstrip("/")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (root / "var/cache/apt/archives").glob("*.deb"):
        path.unlink()
    rules = "".join(f"path-exclude={pattern}\n" for pattern in EXCLUDED)
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(rules)
    (root / "etc/apt/apt.conf.d/90lab").write_bytes(apt.settings())


def build(client: docker.DockerClient, name: str, dockerfile: str, arguments: Mapping[str, str], progress: Progress,
          target: str | None = None) -> str:  # fmt: skip
    """The tag of an image of `lab/`, built when its recipe is new. Raises RunbookError with the build's last words."""
    from docker.errors import APIError, BuildError

    pack, recipe = context(dockerfile)
    tag = f"{REPOSITORY}:{name}-{digest(recipe + json.dumps([dict(arguments), target]).encode())}"
    if present(client, tag):
        return tag
    progress(f"{name} image")
    try:
        stream = client.api.build(
            fileobj=io.BytesIO(pack), custom_context=True, dockerfile=dockerfile, tag=tag, buildargs=dict(arguments),
            target=target, network_mode="host", rm=True, forcerm=True, decode=True,
        )  # fmt: skip
        said = ""
        for part in stream:
            if "error" in part:
                raise RunbookError(
                    f"building the {name} image failed: {part['error']} ({said})", mend="repeat to go on"
                )
            line = str(part.get("stream", "")).strip()
            step = _STEP.match(line)
            if step:
                progress(f"{name} image: {step[3][:70]}", int(step[1]), int(step[2]))
            said = line or said
    except (APIError, BuildError) as error:
        raise RunbookError(f"building the {name} image failed: {error}", mend="repeat to go on") from error
    return tag


def context(dockerfile: str) -> tuple[bytes, bytes]:
    """A reproducible tar of the folders that an image is built from, and the bytes that its recipe hash covers."""
    services = "services" in dockerfile
    folders = [FOLDER / Path(dockerfile).parent, *([FOLDER / "standins"] if services else [])]
    files = {
        str(path.relative_to(FOLDER)): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    # What the tool itself ships for a stack is in the same build as on a host, apart from where its requirements come from.
    for name in shipped.PROGRAMS if services else ():
        files |= {path: (data, False) for path, data in shipped.program(name).items() if path.startswith("services/")}
    buffer, recipe = io.BytesIO(), hashlib.sha256()
    with tarfile.open(fileobj=buffer, mode="w") as pack:
        for name, (data, executable) in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755 if executable else 0o644
            pack.addfile(info, io.BytesIO(data))
            recipe.update(f"{info.name} {info.mode} {digest(data)}\n".encode())
    return buffer.getvalue(), recipe.digest()


def present(client: docker.DockerClient, tag: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        client.images.get(tag)
    except ImageNotFound:
        return False
    return True


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
