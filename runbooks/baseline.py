"""The baseline: before a plan is carried out, what runs must be what the files say. Pure.

Otherwise bringing services up would do more than the plan says: start what an operator stopped, replace an image that
has moved on, or give birth to a second project beside the one that runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from runbooks.compose.model import Service
from runbooks.model import Container, runs
from runbooks.plan_model import Baseline
from runbooks.survey import Survey
from runbooks.survey_checks import dotted
from runbooks.survey_facts import LABEL, version
from runbooks.trial import renewed


def baseline(survey: Survey) -> Baseline:
    """Compares a host's containers with its files."""
    blocking = [*_project(survey), *_states(survey), *_images(survey)]
    drifted, warnings = _drift(survey)
    return Baseline((*blocking, *drifted), (*warnings, *_scales(survey)))


def _project(survey: Survey) -> Iterator[str]:
    others = sorted({each.project for each in survey.strangers if each.state == "running"})
    own = any(members for members in survey.facts.containers.values())
    if others and not own:
        yield f"this folder's stack runs as project {others[0]}, not {survey.compose.name}: set project_name: {others[0]}"
    elif others:
        yield f"project {others[0]} runs from the same folder: stop it, or give it a folder of its own"
    elif not own:
        yield f"nothing of project {survey.compose.name} runs: bring it up first"


def _states(survey: Survey) -> Iterator[str]:
    for service, each in _members(survey):
        if each.state in ("restarting", "dead", "paused"):
            yield f"{service.name} is {each.state}: mend it first"
        elif each.health == "unhealthy" and runs(each):
            yield f"{service.name} is unhealthy: mend it first"


def _images(survey: Survey) -> Iterator[str]:
    """Services whose image name means another image now than when their container was made."""
    for service, each in _members(survey):
        named = survey.facts.images.get(service.image or "")
        if runs(each) and named is not None and named.id and each.image_id and named.id != each.image_id:
            yield (
                f"{service.name} runs an older image than {service.image} now means, so a restart would change it: "
                "bring it up with that first, or tag the old one again"
            )


def _drift(survey: Survey) -> tuple[list[str], list[str]]:
    """Services that Compose would recreate from the unchanged files, apart: those that a mere upgrade of it explains."""
    names = {each.name: each.service for _, each in _members(survey)}
    blocking, warnings = [], []
    if survey.dry_run.exit != 0:
        blocking.append(f"Compose cannot say what it would do: {survey.dry_run.complaint}")
    would = renewed(survey.dry_run, names)
    for service, each in _members(survey):
        if service.name not in would or not runs(each) or service.edges.keys() & would:
            continue
        made_with = version(each.labels.get(LABEL + "version", ""))
        if made_with and made_with != survey.facts.compose and _same(service, each):
            warnings.append(
                f"{service.name} was made by Compose {dotted(made_with)}: {dotted(survey.facts.compose)} will recreate it"
            )
        else:
            blocking.append(
                f"{service.name} does not run as its files say (`up --dry-run` would recreate it): "
                "bring it up first, or put the files back"
            )
    return list(dict.fromkeys(blocking)), list(dict.fromkeys(warnings))


def _same(service: Service, each: Container) -> bool:
    """Whether a container has the image and every variable that its service has now."""
    values = {name: variable.value for name, variable in service.environment.items() if variable.value is not None}
    return (service.image in (None, each.image)) and all(
        each.environment.get(name) == value for name, value in values.items()
    )


def _scales(survey: Survey) -> Iterator[str]:
    for service in survey.stack.services.values():
        if not service.active:
            continue
        members = [each for each in survey.facts.containers.get(service.name, ()) if not each.one_off]
        running = sum(map(runs, members))
        if members and not running and all(each.state in ("exited", "created") for each in members):
            if service.value.get("restart") not in (None, "no") or any(each.exit_code for each in members):
                yield f"{service.name} is stopped, and stays so"
        elif running > 1 and running != _declared(service):
            yield f"{service.name} runs {running} containers, and keeps them"


def _declared(service: Service) -> int:
    deploy = service.value.get("deploy")
    given = service.value.get("scale") or (deploy.get("replicas") if isinstance(deploy, dict) else None)
    text = str(given or "")
    return int(text) if text.isdigit() else 1


def _members(survey: Survey) -> Iterator[tuple[Service, Container]]:
    """Every container of an active service, with the service."""
    for name, members in survey.facts.containers.items():
        service = survey.stack.services.get(name)
        if service is not None and service.active:
            yield from ((service, each) for each in members if not each.one_off)
