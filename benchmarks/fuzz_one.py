"""Fuzzes one target with atheris, guided by which branches of the project's code an input reaches.

`python -m benchmarks.fuzz_one TARGET FOLDER SECONDS`, in the environment of requirements/fuzzing.txt. libFuzzer writes
"Done N runs in S second(s)", and an input that breaks a target into FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris


def main(name: str, folder: str, seconds: str) -> None:
    with atheris.instrument_imports(include=["inventory", "runbooks", "rollback", "checks"]):
        from benchmarks import fuzz_targets

    target = {each.name: each for each in fuzz_targets.TARGETS}[name]
    corpus = Path(folder, "corpus")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def one(data: bytes) -> None:
        fuzz_targets.attempt(target, data)

    options = [
        f"-max_total_time={seconds}",
        "-timeout=20",
        "-rss_limit_mb=3000",
        f"-artifact_prefix={folder}/",
        "-max_len=8192",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:4])
