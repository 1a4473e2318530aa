"""Readies services for replicas: a floor of them, a HorizontalPodAutoscaler manifest, nothing that forbids them (6.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from inventory.errors import InputError
from runbooks.compose import scalars, splice
from runbooks.compose.model import Service, Stack
from runbooks.compose.operations import Operation, RemoveSetting, SetSetting
from runbooks.model import Altered, Change, Facts, Kept, Question, Refusal
from runbooks.scaling import Limits
from runbooks.steps import bounds, images, replicas
from runbooks.steps.common import health_probes, refusals

NAME = "autoscaling"
SETTINGS: Mapping[str, tuple[type, Any, str]] = {
    "autoscale": (
        dict,
        {},
        "service -> min, max, cpu (percent of its limit), drop, shared_volumes; {} for 2 to 10 at 70",
    ),
    "hpa_folder": (str, "kubernetes", "where in the project the manifests go"),
}
KEYS = ("min", "max", "cpu", "drop", "shared_volumes")
MOST = 100
"""Replicas of one service on one host, at most: beyond that it is a slip of the pen."""


def problem(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting of the right type, and the mend."""
    if name == "hpa_folder" and (not value or value.startswith(("/", "-")) or ".." in value.split("/")):
        return f"{value!r} is no folder inside the project", "write kubernetes"
    for service, given in value.items() if name == "autoscale" else ():
        found = _problem(given)
        if found:
            return f"{service}: {found[0]}", found[1]
    return None


def _problem(given: Any) -> tuple[str, str] | None:
    if not isinstance(given, dict):
        return "must be a mapping", "write {} for 2 to 10 replicas at 70 %"
    for key in given:
        if key not in KEYS:
            near = get_close_matches(str(key), KEYS, n=1)
            return f"{key!r} is no key", f"did you mean {near[0]}?" if near else f"write {', '.join(KEYS)}"
    for key, high in (("min", MOST), ("max", MOST), ("cpu", 100)):
        number = given.get(key, 1)
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= high:
            return f"{key} {number!r} is no number from 1 to {high}", "write min: 2, max: 10, cpu: 70"
    limits = limits_of(given)
    if limits.least > limits.most:
        return f"min {limits.least} is above max {limits.most}", "write the lower one as min"
    drop = given.get("drop", [])
    if not isinstance(drop, list) or any(key not in replicas.DROPPED for key in drop):
        return f"drop {drop!r} names what cannot be dropped", f"write a list of {' and '.join(replicas.DROPPED)}"
    if not isinstance(given.get("shared_volumes", False), bool):
        return "shared_volumes must be true or false", "write true where all replicas may write to them"
    return None


def limits_of(given: Mapping[str, Any]) -> Limits:
    """A service's limits, as the inventory has them."""
    usual = Limits()
    return Limits(given.get("min", usual.least), given.get("max", usual.most), float(given.get("cpu", usual.cpu)))


def asks(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> tuple[Question, ...]:
    """Nothing: files and containers say it all."""
    return ()


def change(stack: Stack, facts: Facts, settings: Mapping[str, Any]) -> Change:
    """Replicas for the services that the inventory names. One with anything in their way is refused, with the mend.

    Raises InputError for a service that is not there.
    """
    kept: list[Kept] = []
    refused: list[Refusal] = []
    wanted: dict[str, list[Operation]] = {}
    for name, given in settings["autoscale"].items():
        if name not in stack.services:
            raise InputError(f"there is no service {name}", key="autoscale", mend=bounds.near(str(name), tuple(stack.services)))  # fmt: skip
        service, limits = stack.services[name], limits_of(given)
        found = list(refusals_of(service, given, limits))
        refused += found
        if not found:
            wanted[name] = list(operations(service, given, limits))
            if bounds.current(service, ("limits", "cpus")) is None:
                kept.append(
                    Kept(name, "replicas", "has no CPU limit: what it uses counts against the whole host", True)
                )
            if images.is_one_shot(stack, service, facts):
                kept.append(Kept(name, "replicas", "looks like a job that ends: replicas of it would each do it", True))
    if not settings["autoscale"]:
        kept.append(Kept("", "replicas", "no service is named in autoscale"))
    every = [operation for made in wanted.values() for operation in made]
    applied = splice.apply(stack, every)
    told, failed = refusals(applied, "replicas")
    done = [operation for operation in every if operation not in failed]
    bad = {operation.service for operation in failed}
    folder = f"{stack.spec.directory}/{settings['hpa_folder'].strip('/')}"
    # Its manifest may be all that changes of a service: it is watched all the same.
    ready = sorted(name for name in wanted if name not in bad)
    created = {f"{folder}/{name}-hpa.yml": manifest(name, limits_of(settings["autoscale"][name])) for name in ready}
    return Change(
        step=NAME, risk="medium", stack=applied.stack, edits=applied.edits, operations=tuple(done), created=created,
        kept=tuple(kept), refused=(*refused, *told), probes=health_probes(applied.stack, ready),
        altered=tuple(altered(stack, applied.stack, each) for each in done),
        notes=tuple(f"{each.service} gives up its host port: nothing reaches it there before a proxy publishes it" for each in done if isinstance(each, RemoveSetting) and each.key == "ports"),
    )  # fmt: skip


def refusals_of(service: Service, given: Mapping[str, Any], limits: Limits) -> Iterator[Refusal]:
    """What is in the way and is not said to be dropped or shared."""
    for each in replicas.obstacles(service, limits.most):
        if each.what in given.get("drop", ()) or (each.what == "volumes" and given.get("shared_volumes")):
            continue
        yield Refusal(service.name, service.place.path, service.place.line, each.what, each.reason, each.mend)


def operations(service: Service, given: Mapping[str, Any], limits: Limits) -> Iterator[Operation]:
    """Out with what is dropped, and at least so many replicas at each `up`."""
    for key in given.get("drop", ()):
        if service.value.get(key):
            yield RemoveSetting(service.name, key, "in the way of replicas")
    deploy = service.value.get("deploy") or {}
    have = service.value.get("scale") or (deploy.get("replicas") if isinstance(deploy, Mapping) else None) or 1
    if not str(have).isdigit() or int(have) < limits.least:
        path = ("scale",) if service.value.get("scale") else ("deploy", "replicas")
        yield SetSetting(service.name, path, limits.least, f"{limits.least} to {limits.most} replicas at {limits.cpu:g} % of its CPU limit")  # fmt: skip


def altered(before: Stack, after: Stack, operation: Operation) -> Altered:
    """An operation as people and JSON see it."""
    service = after.services[operation.service]
    if isinstance(operation, RemoveSetting):
        old = before.services[operation.service].value.get(operation.key)
        return Altered(service.name, service.place.path, service.place.line, operation.key, str(old), "none", "not needed", operation.reason)  # fmt: skip
    assert isinstance(operation, SetSetting)  # noqa: S101 - the kinds that this step makes
    return Altered(service.name, service.place.path, service.place.line, "replicas", "1", str(operation.value), "not needed", operation.reason)  # fmt: skip


def manifest(service: str, limits: Limits) -> bytes:
    """The HorizontalPodAutoscaler of a Deployment of the same name, as the proposal has it."""
    name = kubernetes_name(service)
    return f"""\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {name}-hpa
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {quoted(name)}
  minReplicas: {limits.least}
  maxReplicas: {limits.most}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {limits.cpu:.0f}
""".encode()


def kubernetes_name(service: str) -> str:
    """A service's name as Kubernetes takes one: at most 59 small letters, digits and hyphens (`-hpa` makes it 63)."""
    name = "".join(char if char.isascii() and char.isalnum() else "-" for char in service.lower())
    return name[:59].strip("-") or "service"


def quoted(name: str) -> str:
    """A name that YAML takes for a text: `1e3` and `null` are none."""
    return scalars.write(name)
