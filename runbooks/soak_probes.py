"""Which probes a soak asks of a host."""

from __future__ import annotations

import json
from dataclasses import replace

from checks.model import Probe
from inventory.secrets import Mask
from runbooks.commands.looking import all_probes
from runbooks.steps import images, service_mesh, service_registry, shared_cache
from runbooks.survey import Survey

MEASURE_S = 10.0
"""Time limit of a measurement: the engine looks at resources for a second or two, longer where it is busy."""
BREAKERS = ("haproxy",)
"""Images that are circuit breakers."""


def probes_of(found: Survey, mask: Mask) -> tuple[tuple[Probe, ...], tuple[str, ...]]:
    """What a soak asks of a host, and what it does not, in words: a probe that holds a secret is not stored."""
    stack, facts = found.stack, found.facts
    probes = [
        replace(each, settings={**each.settings, "pool": True}) if each.kind == "pgbouncer" else each
        for each in all_probes(stack, facts)
    ]
    for name in dict.fromkeys(probe.service for probe in probes):
        probes.append(Probe("startup", f"startup:{name}", name, timeout_s=MEASURE_S))
        for of in ("cpu", "memory"):
            probes.append(Probe("resources", f"{of}:{name}", name, {"of": of}, MEASURE_S))
        if images.repository(stack.services[name].image) in BREAKERS:
            probes.append(Probe("breaker", f"breaker:{name}", name, timeout_s=MEASURE_S))
    keeper = shared_cache.standing(stack)
    if keeper in {probe.service for probe in probes}:
        probes += shared_cache.probes(keeper)
    registrar = service_registry.standing(stack)
    if registrar in {probe.service for probe in probes}:
        probes.append(Probe("registry", f"registry:{registrar}", registrar, timeout_s=MEASURE_S))
    authority = service_mesh.standing(stack)
    if authority in {probe.service for probe in probes}:
        probes.append(service_mesh.probe(authority, stack))
    secret = [each for each in probes if mask.hides(json.dumps(dict(each.settings), default=str))]
    notes = tuple(f"{each.name} is not asked: its words hold a secret, which is not stored" for each in secret)
    return tuple(each for each in probes if each not in secret), notes
