"""Who gives commands here."""

from __future__ import annotations

import getpass
import socket


def operator() -> str:
    """Who gives commands here: user@machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
