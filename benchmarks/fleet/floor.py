"""The floor of the fleet benchmark: Fabric with one connection and one exec a host. `python -m benchmarks.fleet.floor JOB`.

JOB is a JSON file: user, key, known_hosts, forks, what, and for each host its port, folder, state, file, digests and bytes.
"""

from __future__ import annotations

import base64
import json
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PROGRAM = (Path(__file__).parent / "floor.sh").read_text()


def work(job: dict[str, Any], host: dict[str, Any]) -> str:
    """One host: connects, runs the program once, closes. Raises what Fabric raises."""
    from fabric import Connection
    from paramiko import RejectPolicy

    how = {"key_filename": job["key"]}
    with Connection("127.0.0.1", user=job["user"], port=host["port"], connect_kwargs=how) as connection:
        connection.client.load_host_keys(job["known_hosts"])
        connection.client.set_missing_host_key_policy(RejectPolicy())
        words = ["sh", "-c", PROGRAM, "sh", job["what"], *host["words"]]
        data = base64.b64encode(host["data"].encode()).decode()
        command = f"printf %s {data} | base64 -d | {shlex.join(words)}" if data else shlex.join(words)
        return str(connection.run(command, hide=True, in_stream=False).stdout)


def main() -> None:
    """Works on all hosts of the job, so many at once as it says."""
    job = json.loads(Path(sys.argv[1]).read_text())
    with ThreadPoolExecutor(job["forks"]) as pool:
        for _ in pool.map(lambda host: work(job, host), job["hosts"]):
            pass


if __name__ == "__main__":
    main()
