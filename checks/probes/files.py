"""`files`: files on the host have exactly the bytes that they should have, by their SHA-256 digests."""

from __future__ import annotations

from collections.abc import Mapping

from checks.model import Probe
from checks.probes.kind import Kind
from inventory.errors import InputError

# $1: lines as `sha256sum -c` reads them; then the paths that must be absent. Says which file it is that is not as it should be.
PROGRAM = r"""
listed=$1; shift
for path in "$@"; do [ ! -e "$path" ] && [ ! -h "$path" ] || { printf '%s\n' "$path: is there"; exit 1; }; done
[ -n "$listed" ] || exit 0
found=$(sha256sum -c 2>&1 <<LISTED
$listed
LISTED
)
code=$?
while IFS= read -r line; do
    case $line in *': OK') ;; *) printf '%s\n' "$line"; code=1 ;; esac
done <<FOUND
$found
FOUND
exit "$code"
"""


def command(probe: Probe, _project: str) -> tuple[str, ...]:
    """The words that compare. Raises InputError without files."""
    given = probe.settings.get("sha256")
    if not isinstance(given, Mapping) or not given:
        raise InputError("a files probe needs files", key=probe.name, mend="write sha256: {PATH: DIGEST}")
    lines = "".join(line(str(path), str(digest)) for path, digest in given.items() if digest != "absent")
    return (
        "sh",
        "-c",
        PROGRAM,
        "sh",
        lines.rstrip("\n"),
        *(str(path) for path, digest in given.items() if digest == "absent"),
    )


def line(path: str, digest: str) -> str:
    """A line of `sha256sum`; it writes backslashes twice, and says so by one before the digest."""
    return f"\\{digest}  {path.replace(chr(92), chr(92) * 2)}\n" if "\\" in path else f"{digest}  {path}\n"


KIND = Kind({"sha256": "path -> SHA-256 digest, or absent"}, command, timed=False)
