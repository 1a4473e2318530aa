"""How a kind of probe judges an answer, without a host."""

from checks.model import Probe
from checks.probes import KINDS
from checks.probes.kind import Answer
from inventory.model import Host, Project

HOST = Host("here", "here", Project("/srv/shop"), connection="local")


def judged(kind, output, code=0, service="web", **settings):
    found = KINDS[kind].judge(Probe(kind, f"{kind}:{service}", service, settings), Answer(code, output, 0.2))
    return found.ok, found.value, found.detail
