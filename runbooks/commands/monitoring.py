"""`soak.metrics` and `soak.dashboards`: what Prometheus scrapes, the rules that it holds against it, and what Grafana shows."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from checks.evidence import Store
from inventory.errors import InputError
from runbooks import monitors
from runbooks.exposition import registry
from runbooks.output import Output

HEAD = "# Made by ./inv soak.dashboards: change runbooks/monitors.py, not this file.\n"


def metrics(out: Output, *, textfile: str = "", serve: str = "") -> int:
    """Prints the metrics, writes them to a file, or serves them until Ctrl-C. Raises InputError."""
    if textfile and serve:
        raise InputError("are two ways at once", key="--textfile, --serve", mend="give one of them")
    Store().close()  # a store that cannot be used is told now, and not at the first scrape
    found = registry(Store, out.mask)
    if serve:
        return _serve(out, serve, found)
    from prometheus_client import generate_latest, write_to_textfile

    if not textfile:
        out.raw(generate_latest(found).decode())
        return 0
    if not textfile.endswith(".prom"):
        raise InputError(
            "node_exporter reads only files that end in .prom", key="--textfile", mend=f"write {textfile}.prom"
        )
    try:
        write_to_textfile(textfile, found)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}",
            path=textfile,
            key="--textfile",
            mend="name a file in a folder of yours",
        ) from None
    return 0


def _serve(out: Output, address: str, found: object) -> int:
    from prometheus_client import start_http_server

    match = re.fullmatch(r"(?:(\[[0-9a-fA-F:]+\]|[\w.-]+):)?(\d{1,5})", address)
    if not match or not 0 <= int(match[2]) < 65536:
        raise InputError(f"{address!r} is no address", key="--serve", mend="write 127.0.0.1:9464")
    host = (match[1] or "127.0.0.1").strip("[]")
    try:
        server, thread = start_http_server(int(match[2]), host, registry=found)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(
            f"nothing can be served there: {error.strerror}", key="--serve", mend="name a free port"
        ) from None
    out.show(f"serving http://{host}:{server.server_port}/metrics until Ctrl-C")
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()
    return 0


def dashboards(out: Output, folder: Path) -> int:
    """Writes the rules and the dashboards into a folder. Raises InputError."""
    try:
        for name, text in files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", path=str(folder), key="--folder", mend="name a folder of yours"
        ) from None
    out.show(
        f"{folder}/rules.yml for Prometheus, and {len(monitors.MONITORS)} dashboards for Grafana in {folder}/dashboards"
    )
    return 0


def files() -> dict[str, str]:
    """Each file's name and text."""
    made = {"rules.yml": HEAD + rules_text()}
    for monitor in monitors.MONITORS:
        made[f"dashboards/{monitor.uid}.json"] = json.dumps(monitors.dashboard(monitor), indent=2) + "\n"
    return made


def rules_text(*, patience: float = 1.0) -> str:
    """The rules as YAML."""
    from ruamel.yaml import YAML

    yaml, out = YAML(), io.StringIO()
    yaml.width = 10_000
    yaml.dump(monitors.rules(patience=patience), out)
    return out.getvalue()
