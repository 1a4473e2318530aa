"""OpenSSL's command line, which does the arithmetic."""

from __future__ import annotations

import os
import subprocess

EC_KEY = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out")


class Failed(Exception):
    """OpenSSL would not: its last words."""


def openssl(*words: str) -> str:
    """Runs OpenSSL and returns what it says; what it makes nobody else can read. Raises Failed."""
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False, umask=0o077, env={"PATH": os.environ["PATH"]})  # fmt: skip
    if done.returncode != 0:
        raise Failed((done.stderr.strip().splitlines() or [f"openssl {words[0]}: exit {done.returncode}"])[-1])
    return done.stdout
