"""A plan as others read it: its public JSON (DESIGN, "The command line") and the unified diffs of its files. Pure."""

from __future__ import annotations

from typing import Any

from inventory.secrets import Mask
from runbooks.compose.patch import patch
from runbooks.plan import fingerprint
from runbooks.plan_model import HostPlan, Plan, StepPlan


def patches(host: HostPlan, folder: str = "") -> dict[str, str]:
    """The unified diff of each file that changes, by its path relative to the project.

    `folder`: where the diffs are applied; a file inside it is named from there, as `git apply` needs it.
    """
    found = {}
    for file in host.files:
        here = folder.rstrip("/") + "/"
        inside = bool(folder) and file.path.startswith(here)
        shown = file.path.removeprefix(here) if inside else relative(host, file.path)
        found[shown] = patch(file.data_before or b"", file.data or b"", shown)
    return found


def relative(host: HostPlan, path: str) -> str:
    """A path as the project's own folder sees it."""
    return path.removeprefix(host.project_dir.rstrip("/") + "/")


def to_json(plan: Plan, mask: Mask, *, show_secrets: bool = False) -> dict[str, Any]:
    """The plan in its public shape (DESIGN, "The command line"), masked unless asked otherwise."""

    def hide(text: str) -> str:
        return text if show_secrets else mask.hide(text)

    def shown(host: HostPlan) -> dict[str, Any]:
        return {
            "host": host.host,
            "changed": host.changed,
            "fingerprint": fingerprint(host),
            "files": [{"path": path, "patch": hide(text)} for path, text in patches(host).items()],
            "steps": [step_json(host, step) for stage in host.stages for step in stage.steps],
            "restarts": [
                {"service": each.service, "reason": each.reason, "holds_data": each.holds_data,
                 "downtime_s": each.downtime_s, "basis": each.basis, "loses": list(each.loses)}
                for each in host.restarts
            ],
            "startup": {
                "groups": [list(group) for group in host.startup.groups],
                "critical_path": list(host.startup.critical_path),
                "before_s": host.startup.before_s,
                "after_s": host.startup.after_s,
            },
            "hooks": [
                {"when": hook.when, "name": hook.name, "where": hook.where, "command": hide(hook.command),
                 "timeout_s": hook.timeout_s, "on_failure": "stop" if hook.stops else "go_on"}
                for hook in host.hooks
            ],
            "warnings": [hide(text) for text in host.warnings],
            "blocked": [hide(text) for text in host.blocked],
        }  # fmt: skip

    def step_json(host: HostPlan, step: StepPlan) -> dict[str, Any]:
        return {
            "step": step.kind,
            "risk": step.risk,
            "changes": [
                {"service": a.service, "path": relative(host, a.path), "line": a.line, "what": a.what,
                 "before": hide(a.before), "after": hide(a.after), "proof": a.proof, "reason": hide(a.reason)}
                for a in step.altered
            ],
            "kept": [{"service": k.service, "what": k.what, "reason": hide(k.reason)} for k in step.kept],
            "refused": [
                {"service": r.service, "path": relative(host, r.path), "line": r.line, "what": r.what,
                 "reason": hide(r.reason), "mend": hide(r.mend)}
                for r in step.refused
            ],
        }  # fmt: skip

    return {
        "phase": plan.phase,
        "environment": plan.environment,
        "fingerprint": plan.fingerprint,
        "promotion_key": plan.promotion_key,
        "hosts": [shown(host) for host in plan.hosts],
    }
