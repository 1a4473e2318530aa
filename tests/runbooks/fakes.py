"""A `docker` for tests that need none: a program on PATH that writes down what it was asked, and answers by files.

What a service is like is written in its project's Compose file, so that a transaction changes it and an undo brings it
back: `# SERVICE is unhealthy`, `# SERVICE does not start`. `status-SERVICE` holds what `docker ps` says of it, a line for each time it
is asked; afterwards it is healthy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = r"""#!/bin/sh
here=${0%/*}/..
printf '%s\n' "$*" >>"$here/asked"
if [ -e "$here/away" ]; then echo "Cannot connect to the Docker daemon at unix:///x. Is it running?" >&2; exit 1; fi
said() { grep -qs "# $1\$" "$(cat "$here/projects/$project")/docker-compose.yml"; }
status() {
    if said "$service is unhealthy"; then echo "Up 2 minutes (unhealthy)"; return; fi
    head -n 1 "$here/status-$service" 2>/dev/null || { echo "Up 2 minutes (healthy)"; return; }
    sed -i 1d "$here/status-$service"
    [ -s "$here/status-$service" ] || rm "$here/status-$service"
}
up() {
    for service in "$@"; do :; done
    for each in $(cat "$here/apart" 2>/dev/null); do
        case $* in *" --scale $each="*) echo "no such service: $each: disabled" >&2; exit 1 ;; esac
    done
    case " $* " in *" --no-start "*) exit 0 ;; esac
    if [ -e "$here/down-$service" ] || said "$service does not start"; then
        echo "container $project-$service-1 is unhealthy" >&2
        exit 1
    fi
}
words=$*
case $words in
    *label=com.docker.compose.project=*) project=${words#*compose.project=}; project=${project%% *} ;;
    *" -p "*) project=${words#* -p }; project=${project%% *} ;;
esac
case $1 in
    compose) case $words in *" up "*) up "$@" ;; esac ;;
    ps)
        services=$(cat "$here/services")
        case $words in *compose.service=*) services=${words#*compose.service=}; services=${services%% *} ;; esac
        for service in $services; do
            case $service in gone*) continue ;; esac
            case $words in *'{{.Status}}') echo "$service $(status)"; continue ;; esac
            case $words in *'--format {{.Label "com.docker.compose.service"}}') echo "$service" ;; *" --format "*) echo "$service $project/$service" ;; *) echo "$project/$service" ;; esac
        done
        ;;
    inspect)
        form=$3; shift 3
        for id in "$@"; do
            project=${id%/*} service=${id#*/} health=healthy
            if said "$service is unhealthy" || [ -e "$here/long-ago-unhealthy-$service" ]; then health=unhealthy; fi
            restarts=$(cat "$here/restarts-$service" 2>/dev/null || echo 0)
            case $form in
                *Config.Image*) echo "example/$service:1" ;;
                *HostConfig.NanoCpus*) echo "$(cat "$here/limits-$service") $service" ;;
                *State.Status*) echo "$service running $health $restarts false 0" ;;
                *) echo "state {\"Status\": \"running\", \"Health\": {\"Status\": \"$health\", \"Log\": [{\"ExitCode\": 1, \"Output\": \"no\"}]}}" ;;
            esac
        done
        ;;
    image) if [ -e "$here/no-image" ]; then exit 1; fi; cat "$here/image" 2>/dev/null || echo sha256:old ;;
    pull) if [ -e "$here/no-registry" ]; then echo "pull access denied" >&2; exit 1; fi; rm -f "$here/no-image" ;;
    build) tar -xOf - Dockerfile >"$here/built" && rm -f "$here/no-image" ;;
    run) program=$7; shift 8; "$program" "$@" ;; # run --rm -i --network none --entrypoint PROGRAM IMAGE WORDS
    logs) echo "a line of the log" ;;
    exec) id=$2; shift 2; project=${id%/*}; if said "${id#*/} does not answer"; then exit 1; fi; "$@" ;;
esac
"""


@dataclass(frozen=True)
class FakeDocker:
    """What the program is told and was asked. `folder` holds its files."""

    folder: Path

    def tell(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def project(self, name: str, path: Path) -> None:
        """Says where a project's Compose file stands."""
        (self.folder / "projects").mkdir(exist_ok=True)
        (self.folder / "projects" / name).write_text(str(path))

    @property
    def asked(self) -> list[str]:
        """Every command line, in order."""
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def ups(self) -> list[str]:
        """The services that were started, in order."""
        return [line.rpartition(" ")[2] for line in self.asked if " up " in line and " -d " in line]


def fake_docker(folder: Path, monkeypatch: pytest.MonkeyPatch, services: str = "db web") -> FakeDocker:
    """Puts the program first on PATH."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "docker"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    made = FakeDocker(folder)
    made.tell("services", services)
    return made
