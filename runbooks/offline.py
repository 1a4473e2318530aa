"""Makes the plan of local files: no host is asked, so what would have been proven there is unproven."""

from __future__ import annotations

from inventory.engine import Compose
from inventory.secrets import Mask
from rollback.model import FileState, sha256
from runbooks import draft, plan, requires
from runbooks.book import Phase
from runbooks.compose.model import Stack
from runbooks.learning import learn
from runbooks.model import NO_FACTS
from runbooks.plan_model import Baseline, Plan

LOCAL = "files"
"""What stands for host and environment where local files are planned."""


def offline(stack: Stack, phase: Phase, mask: Mask) -> Plan:
    """The plan of local files."""
    learn(mask, stack, NO_FACTS)
    unmet = tuple(requires.unmet(phase, lambda required: draft.walk(required, stack, NO_FACTS, {})))
    made = draft.walk(phase, stack, NO_FACTS, {})
    states = {path: FileState(path, sha256(data)) for path, data in stack.files.items()}
    spec = stack.spec
    compose = Compose(spec.directory, spec.name, spec.compose_files, (), spec.profiles)
    base = Baseline(unmet, ())
    return plan.make(phase, LOCAL, [plan.host_plan(LOCAL, made, NO_FACTS, compose, states, found=base)])
