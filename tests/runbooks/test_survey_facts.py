"""What the engine says of containers and images, read into facts: also of what it leaves out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.survey_facts import by_service, container, image, images, ready_after_s, version, when

INSPECTED = {
    "Id": "abc", "Name": "/shop-web-2", "Image": "sha256:1", "RestartCount": 3,
    "Config": {
        "Image": "nginx:1.27", "Env": ["A=1", "B=x=y", "C="],
        "Labels": {
            "com.docker.compose.service": "web", "com.docker.compose.project": "shop", "com.docker.compose.oneoff": "False",
            "com.docker.compose.container-number": "2", "com.docker.compose.config-hash": "h",
        },
    },
    "State": {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00.5Z", "OOMKilled": True, "Health": {"Status": "starting"}},
    "NetworkSettings": {"Networks": {"front": {"IPAddress": "10.0.0.2"}, "gone": None}},
    "Mounts": [
        {"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data", "Destination": "/data"},
        {"Type": "bind", "Source": "/srv/shop/a.conf", "Destination": "/etc/a.conf"},
        {"Type": "tmpfs", "Destination": "/tmp"},
    ],
}  # fmt: skip


def test_a_container_is_read_from_its_labels_and_state():
    found = container(INSPECTED)
    assert (found.id, found.name, found.service, found.number, found.one_off) == ("abc", "shop-web-2", "web", 2, False)
    assert (found.image, found.image_id, found.config_hash, found.project) == ("nginx:1.27", "sha256:1", "h", "shop")
    assert (found.state, found.health, found.restarts, found.oom_killed) == ("running", "starting", 3, True)
    assert found.environment == {"A": "1", "B": "x=y", "C": ""}
    assert found.addresses == {"front": "10.0.0.2"}
    assert found.mounts == (
        ("volume", "data", "/data"),
        ("bind", "/srv/shop/a.conf", "/etc/a.conf"),
        ("tmpfs", "", "/tmp"),
    )


def test_what_the_engine_leaves_out_is_empty():
    found = container({"Id": "x", "Config": None, "State": None, "NetworkSettings": None, "Mounts": None})
    assert (found.service, found.number, found.state, found.health, found.environment) == ("", 1, "", None, {})


@pytest.mark.parametrize("status", ["none", "", None, "odd"])
def test_a_container_without_a_verdict_has_no_health(status):
    assert container({"Id": "x", "State": {"Health": {"Status": status}}}).health is None


@pytest.mark.parametrize(
    ("test", "has"),
    [(["CMD", "true"], True), (["CMD-SHELL", "x"], True), (["NONE"], False), ([], False), (None, False)],
)
def test_an_image_says_whether_it_brings_a_health_check(test, has):
    assert image({"Id": "i", "Config": {"Healthcheck": {"Test": test}}}).has_health_check is has
    assert image({"Id": "i"}).has_health_check is False


def test_an_image_says_its_ports_and_command():
    found = image(
        {"Id": "i", "Config": {"ExposedPorts": {"9000/tcp": {}, "80/tcp": {}, "53/udp": {}, "odd": {}},
                               "Entrypoint": ["run"], "Cmd": ["-x", 1]}}
    )  # fmt: skip
    assert (found.ports, found.command) == ((80, 9000), ("run", "-x", "1"))


def test_images_are_known_by_id_and_every_name():
    found = images(
        [{"Id": "i", "RepoTags": ["nginx:latest", "nginx:1"], "RepoDigests": ["nginx@sha256:2"]}, {"Id": "j"}]
    )
    assert set(found) == {"i", "j", "nginx", "nginx:latest", "nginx:1", "nginx@sha256:2"}


def test_containers_stand_by_service_in_the_order_of_their_numbers():
    def one(service, number, one_off="False"):
        labels = {"service": service, "container-number": str(number), "oneoff": one_off}
        return container(
            {
                "Id": f"{service}{number}{one_off}",
                "Config": {"Labels": {f"com.docker.compose.{k}": v for k, v in labels.items()}},
            }
        )

    found = by_service([one("web", 10), one("web", 9), one("web", 1, "True"), one("db", 1)])
    assert [each.id for each in found["web"]] == ["web9False", "web10False", "web1True"]
    assert list(found) == ["db", "web"]


def aged(*log, step=2e9, started="2026-01-01T00:00:00Z", **check):
    return {
        "State": {"StartedAt": started, "Health": {"Log": [
            {"Start": f"2026-01-01T00:00:{begin:09.6f}Z", "End": f"2026-01-01T00:00:{end:09.6f}Z", "ExitCode": code}
            for begin, end, code in log
        ]}},
        "Config": {"Healthcheck": {"Interval": step, **check}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        (aged((2, 2.5, 0)), 2.5),
        (aged((2, 2.1, 1), (4, 4.25, 0), (6, 6.1, 0)), 4.25),
        (aged((2, 2.1, 1)), None),
        (aged(), None),
        (aged((30, 30.1, 0)), None),
        (aged((2, 2.1, 0), step=30e9), None),
        (aged((2, 2.1, 0), step=30e9, StartPeriod=60e9, StartInterval=1e9), 2.1),
        (aged((2, 2.1, 0), started="0001-01-01T00:00:00Z"), None),
        (aged((2, 2.1, 0), started="nonsense"), None),
        ({}, None),
    ],
)
def test_the_time_to_the_first_good_check_is_known_only_of_young_containers_checked_often(found, seconds):
    assert ready_after_s(found) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "found"),
    [("26.1.5+dfsg1", (26, 1, 5)), ("v2.29.7", (2, 29, 7)), ("Docker Compose version v2.3-desktop.1", (2, 3)), ("", ()), ("dev", ())],
)  # fmt: skip
def test_a_version_is_the_numbers_that_it_begins_with(text, found):
    assert version(text) == found


def test_times_are_read_with_nanoseconds_and_zones():
    assert when("2026-01-01T00:00:00.123456789Z").microsecond == 123456
    assert when("2026-01-01T01:00:00+01:00") == when("2026-01-01T00:00:00Z")
    assert when("2026-01-01T00:00:00") is None


@given(st.text())
def test_any_text_is_a_time_or_none(text):
    found = when(text)
    assert found is None or found.tzinfo is not None
