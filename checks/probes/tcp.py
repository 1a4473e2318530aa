"""`tcp`: a connection from the host to an address; well when it is accepted. A pooler accepts while its database is dead."""

from __future__ import annotations

import time

from checks.model import Probe
from checks.probes.kind import Judgement, Kind
from inventory.errors import InputError
from inventory.link import Link


def dial(link: Link, probe: Probe) -> Judgement:
    address, port = str(probe.settings.get("address", "127.0.0.1")), probe.settings.get("port")
    if not isinstance(port, int) or not 0 < port < 65536:
        raise InputError("a tcp probe needs a port", key=probe.name, mend="write port: 5432")
    begin = time.monotonic()
    try:
        return Judgement(True, link.dial(address, port, probe.timeout_s))
    except OSError as error:
        return Judgement(False, time.monotonic() - begin, detail=str(error)[:200])


KIND = Kind({"address": "as dialled from the host", "port": "the port"}, dial=dial)
