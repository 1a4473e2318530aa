"""Before a plan is carried out, what runs must be what the files say: each way in which it may not be."""

from dataclasses import replace

import pytest

from inventory.engine import Compose
from inventory.model import Host, Project
from runbooks.baseline import baseline
from runbooks.model import Container, Facts, Image
from runbooks.programs import Part
from runbooks.survey import Survey
from tests.runbooks.compose.material import ROOT, stack_of

TEXT = """\
services:
  db:
    image: postgres:15
    environment: {POSTGRES_USER: app}
  web:
    image: nginx:1.27
    restart: always
    depends_on: [db]
  job:
    image: busybox
    profiles: [jobs]
"""


def running(service, **more):
    image = {"db": "postgres:15", "web": "nginx:1.27"}.get(service, "busybox")
    usual = Container(
        id=f"{service}-id", name=f"app-{service}-1", service=service, number=1, one_off=False, image=image,
        image_id=f"sha256:{service}", config_hash="h", project="app", state="running", exit_code=0, health=None, restarts=0,
        started_at="", environment={"POSTGRES_USER": "app", "PATH": "/bin"}, labels={"com.docker.compose.version": "2.29.7"},
        addresses={},
    )  # fmt: skip
    return replace(usual, **more)


def survey(*containers, text=TEXT, dry_run="", exit_code=0, images=None, strangers=()):
    members = {}
    for each in containers:
        members[each.service] = (*members.get(each.service, ()), each)
    facts = Facts(True, (26, 1), (2, 29, 7), containers=members, images=images or {})
    return Survey(
        Host("web-1", "web-1", Project(ROOT)), stack_of({"compose.yml": text}), facts, Compose(ROOT, "app"), {},
        Part(exit_code, b"", dry_run.encode()), strangers,
    )  # fmt: skip


def would(*services):
    return "".join(f"DRY-RUN MODE -  Container app-{service}-1  Recreate\n" for service in services)


def test_a_stack_that_runs_as_its_files_say_is_a_baseline():
    found = baseline(
        survey(running("db"), running("web", health="healthy"), dry_run="DRY-RUN MODE -  Container app-db-1  Running\n")
    )
    assert (found.blocking, found.warnings) == ((), ())


OTHER = running("web", project="other")
BLOCKED = [
    (survey(), "nothing of project app runs: bring it up first"),
    (survey(strangers=(OTHER,)), "this folder's stack runs as project other, not app: set project_name: other"),
    (survey(running("db"), strangers=(OTHER,)), "project other runs from the same folder"),
    (survey(running("db", state="restarting")), "db is restarting: mend it first"),
    (survey(running("db", state="dead")), "db is dead: mend it first"),
    (survey(running("db", state="paused")), "db is paused: mend it first"),
    (survey(running("db", health="unhealthy")), "db is unhealthy: mend it first"),
    (survey(running("db"), images={"postgres:15": Image("sha256:new", False)}), "db runs an older image than postgres:15 now means"),
    (survey(running("db"), dry_run="yaml: line 3: no", exit_code=15), "Compose cannot say what it would do: yaml: line 3: no"),
    (survey(running("db"), dry_run=would("db")), "db does not run as its files say"),
    (survey(running("db", environment={"POSTGRES_USER": "x"}, labels={"com.docker.compose.version": "2.20.0"}), dry_run=would("db")),
     "db does not run as its files say"),
    (survey(running("db", image="postgres:14", labels={"com.docker.compose.version": "2.20.0"}), dry_run=would("db")),
     "db does not run as its files say"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "words"), BLOCKED, ids=[words[:40] for _, words in BLOCKED])
def test_what_stands_in_the_way_is_one_line_with_its_mend(found, words):
    (line,) = baseline(found).blocking
    assert line.startswith(words)


def test_a_stranger_that_is_stopped_stands_in_nobodys_way():
    stopped = replace(OTHER, state="exited")
    assert baseline(survey(running("db"), strangers=(stopped,))).blocking == ()


def test_an_image_that_has_the_same_id_or_is_not_known_is_no_other_image():
    for images in ({"postgres:15": Image("sha256:db", False)}, {"postgres:15": Image("", False)}, {}):
        assert baseline(survey(running("db"), images=images)).blocking == ()


def test_a_mere_upgrade_of_compose_is_a_warning():
    old = {"com.docker.compose.version": "2.20.0"}
    found = baseline(survey(running("db", labels=old), dry_run=would("db")))
    assert found.blocking == ()
    assert found.warnings == ("db was made by Compose 2.20.0: 2.29.7 will recreate it",)


def test_a_dependent_that_would_only_go_along_is_not_named_beside_its_cause():
    (line,) = baseline(survey(running("db"), running("web"), dry_run=would("db", "web"))).blocking
    assert line.startswith("db ")


@pytest.mark.parametrize(
    ("containers", "warnings"),
    [
        ([running("web", state="exited")], ("web is stopped, and stays so",)),
        ([running("web", state="exited", exit_code=1)], ("web is stopped, and stays so",)),
        ([running("web"), running("web", number=2, name="app-web-2")], ("web runs 2 containers, and keeps them",)),
        ([running("web"), running("web", one_off=True)], ()),
    ],
)
def test_stopped_and_scaled_services_are_said_to_stay_so(containers, warnings):
    assert baseline(survey(running("db"), *containers)).warnings == warnings


@pytest.mark.parametrize("scale", ["scale: 2", "deploy: {replicas: 2}"])
def test_a_scale_that_the_files_name_is_nothing_to_say(scale):
    text = TEXT.replace("    restart: always", f"    restart: always\n    {scale}")
    both = [running("web"), running("web", number=2, name="app-web-2")]
    assert baseline(survey(running("db"), *both, text=text)).warnings == ()


def test_services_that_a_profile_leaves_out_are_not_looked_at():
    assert baseline(survey(running("db"), running("job", state="dead"))).blocking == ()


def test_a_job_that_has_ended_well_is_not_a_stopped_service():
    text = TEXT.replace("    profiles: [jobs]\n", "")
    assert baseline(survey(running("db"), running("job", state="exited"), text=text)).warnings == ()
