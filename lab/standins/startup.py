"""How long each stand-in takes from start to its first answer: the only place where a stand-in sleeps for show.

The seconds are chosen, not measured on the real programs: they keep the order and rough proportion of a small
single-node stack (the JVM programs slow, Kibana after them, the rest quick) at about a fifth of the usual size, so that
a demonstration stays short. STANDIN_TIME_SCALE multiplies them; docs/measurements.md has runs at 0.5, 1 and 2.
"""

import os
import time

SECONDS = {
    "elasticsearch": (12.0, "a JVM and its index recovery: the slowest of the stack"),
    "kibana": (8.0, "loads plugins, then migrates its saved objects"),
    "logstash": (6.0, "a JVM and its pipelines"),
    "apm-server": (3.0, "one Go program that sets up its index templates"),
    "grafana": (2.0, "one Go program that migrates a small database"),
    "backend": (2.0, "one compiled program that opens its pools and runs its migrations"),
    "frontend": (1.0, "a web server with static pages"),
}


def wait(name: str) -> None:
    """Sleeps for the start-up time of `name`."""
    time.sleep(SECONDS[name][0] * float(os.environ.get("STANDIN_TIME_SCALE", "1")))
