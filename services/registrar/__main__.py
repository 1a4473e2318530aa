"""Runs the registrar: `python3 -m services.registrar`. All it needs is in the environment (settings.py); it writes no file."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from services.registrar import settings
from services.registrar.web import application

PORT = 8080


def main() -> int:
    try:
        found = settings.read(os.environ)
    except settings.Wrong as error:
        print(f"service-registrar: {error}", file=sys.stderr)
        return 1
    port = int(os.environ.get("PORT", PORT))
    print(f"service-registrar: {len(found.places)} services, port {port}", flush=True)
    web.run_app(application(found), port=port, print=None, access_log=None, shutdown_timeout=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
