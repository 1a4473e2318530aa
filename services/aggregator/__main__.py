"""Runs the aggregator: `python3 -m services.aggregator`. All it needs is in the environment (settings.py); it writes nothing."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from services.aggregator import settings
from services.aggregator.web import application

PORT = 8080


def main() -> int:
    try:
        found = settings.read(os.environ)
    except settings.Wrong as error:
        print(f"health-aggregator: {error}", file=sys.stderr)
        return 1
    port = int(os.environ.get("PORT", PORT))
    print(f"health-aggregator: {len(found.checks)} services, port {port}", flush=True)
    web.run_app(application(found), port=port, print=None, access_log=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
