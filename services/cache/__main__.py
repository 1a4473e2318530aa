"""Runs the cache keeper: `python3 -m services.cache`. All it needs is in the environment (settings.py); it writes no file."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from services.cache import settings
from services.cache.web import application

PORT = 8080


def main() -> int:
    try:
        found = settings.read(os.environ)
    except settings.Wrong as error:
        print(f"cache-keeper: {error}", file=sys.stderr)
        return 1
    port = int(os.environ.get("PORT", PORT))
    print(f"cache-keeper: {len(found.warm)} entries to warm, port {port}", flush=True)
    web.run_app(application(found), port=port, print=None, access_log=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
