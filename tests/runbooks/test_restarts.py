"""Which containers a change recreates, in which order, why, for how long, and what that could cost."""

import pytest

from runbooks.model import NO_FACTS, Facts
from runbooks.restarts import lasting, predict, stale_proxies
from tests.runbooks.compose.material import ROOT, stack_of
from tests.runbooks.test_baseline import running

BEFORE = """\
services:
  web:
    image: example/web:1
    environment: {A: "1"}
    depends_on: [db, cache]
    volumes: ["./a.conf:/etc/a.conf"]
  db:
    image: postgres:15
    volumes: ["data:/var/lib/postgresql/data"]
  cache:
    image: redis:7
  front:
    image: nginx:1.27
    depends_on: [web]
  job:
    image: busybox
    profiles: [jobs]
volumes: {data: {}}
"""
CHECK = '    healthcheck: {test: [CMD, pg_isready, -h, "127.0.0.1"], interval: 10s, timeout: 5s, retries: 2, start_period: 20s}\n'


def changed(*replacements):
    text = BEFORE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return stack_of({"compose.yml": text})


def live(*containers):
    members = {}
    for each in containers:
        members[each.service] = (*members.get(each.service, ()), each)
    return Facts(True, (26, 1), (2, 29, 7), containers=members)


def predicted(after, facts=NO_FACTS, **more):
    return predict(changed(), after, facts, **more)


@pytest.mark.parametrize(
    ("replacements", "reasons"),
    [
        ([], {}),
        ([("    image: redis:7\n", "    image: redis:7\n    # a remark\n")], {}),
        ([("    image: postgres:15\n", "    image: postgres:15\n" + CHECK)], {"db": "gains a health check"}),
        ([('{A: "1"}', '{A: "2", B: x}')], {"web": "changes A, B"}),
        ([('environment: {A: "1"}', "environment: [A=1]")], {}),
        ([("[db, cache]", "{db: {condition: service_healthy}, cache: {condition: service_started}}")], {"web": "changes what it waits for"}),
        ([("redis:7", "redis:8")], {"cache": "changes image"}),
        ([("redis:7", "redis:8"), ("[db, cache]", "[db]"), ('{A: "1"}', "{}")],
         {"cache": "changes image", "web": "changes what it waits for and changes A"}),
        ([("  cache:\n", "  pool:\n    image: edoburu/pgbouncer\n  cache:\n")], {"pool": "it is new"}),
        ([("image: busybox", "image: busybox:2")], {}),
    ],
)  # fmt: skip
def test_a_service_is_recreated_for_what_changes_in_itself(replacements, reasons):
    assert {restart.service: restart.reason for restart in predicted(changed(*replacements))} == reasons


def test_they_stand_in_the_order_of_their_dependencies():
    after = changed(
        ("redis:7", "redis:8"),
        ("example/web:1", "example/web:2"),
        ("nginx:1.27", "nginx:1.28"),
        ("postgres:15", "postgres:16"),
    )
    names = [restart.service for restart in predicted(after)]
    assert names.index("db") < names.index("web") < names.index("front")
    assert names.index("cache") < names.index("web")


def test_a_service_that_does_not_run_is_left_alone_and_a_new_one_is_made():
    after = changed(
        ("redis:7", "redis:8"), ("postgres:15", "postgres:16"), ("  cache:\n", "  pool:\n    image: x\n  cache:\n")
    )
    facts = live(running("db"), running("cache", state="exited"), running("cache", one_off=True))
    found = {restart.service: restart for restart in predicted(after, facts)}
    assert set(found) == {"db", "pool"}
    assert (found["pool"].created, found["pool"].downtime_s) == (True, 0.0)


def test_a_container_keeps_its_scale():
    facts = live(running("cache"), running("cache", number=2), running("cache", number=3, state="exited"))
    (restart,) = predicted(changed(("redis:7", "redis:8")), facts)
    assert restart.scale == 2


def test_what_compose_would_spare_is_spared_and_what_it_renews_besides_is_named():
    after = changed(("redis:7", "redis:8"))
    assert predicted(after, spared=frozenset({"cache"})) == ()
    found = {restart.service: restart.reason for restart in predicted(after, also=frozenset({"front"}))}
    assert found == {"cache": "changes image", "front": "Compose would recreate it"}


def test_a_container_that_mounts_a_changed_file_alone_would_keep_the_old_one():
    path = f"{ROOT}/a.conf"
    facts = live(
        running("web", mounts=(("bind", path, "/etc/a.conf"),)), running("db", mounts=(("volume", path, "/x"),))
    )
    (restart,) = predicted(changed(), facts, changed_files=[path])
    assert (restart.service, restart.reason) == ("web", "it mounts a.conf as a single file, and would keep the old one")
    assert restart.renew  # Compose sees no reason of its own
    assert not predicted(changed(("redis:7", "redis:8")))[0].renew


NEEDY = (
    "[db, cache]",
    "{db: {condition: service_healthy}, cache: {condition: service_started}, front2: {condition: service_healthy, required: false}}",
)
NEW = ("  cache:\n", "  front2: {image: nginx}\n  cache:\n")


def test_a_service_needs_what_it_waits_for_until_that_is_healthy_where_it_runs_or_is_new():
    def needs(after, *services):
        facts = live(*(running(each) for each in services)) if services else NO_FACTS
        return {each.service: each.needs for each in predicted(after, facts)}

    after = changed(NEEDY, NEW)
    assert needs(after) == {"front2": (), "web": ("db",)}
    assert needs(after, "web", "db") == {"front2": (), "web": ("db",)}
    assert needs(after, "web", "cache")["web"] == ()  # an operator stopped the database
    new = changed(("[db, cache]", "{front2: {condition: service_healthy}}"), NEW)
    assert needs(new, "web")["web"] == ("front2",)


@pytest.mark.parametrize(
    ("service", "mounts", "holds"),
    [
        ("db", (), True),
        ("cache", (), True),
        ("front", (), False),
        ("front", (("volume", "data", "/x"),), True),
        ("front", (("bind", "/srv/x", "/x"),), False),
    ],
)
def test_what_holds_data_is_named(service, mounts, holds):
    image = {"db": "postgres:15", "cache": "redis:7", "front": "nginx:1.27"}[service]
    (restart,) = predicted(changed((image, f"{image}.1")), live(running(service, mounts=mounts)))
    assert (restart.service, restart.holds_data) == (service, holds)


def test_an_outage_is_estimated_from_what_is_measured_else_typical_else_assumed():
    after = changed(("example/web:1", "example/web:2"), ("redis:7", "redis:8"), ("postgres:15", "postgres:16"))
    found = {restart.service: restart for restart in predicted(after, measured_s={"db": 30.0})}
    assert {name: restart.basis for name, restart in found.items()} == {
        "db": "measured on this host", "cache": "typical for redis", "web": "assumed",
    }  # fmt: skip
    assert found["db"].downtime_s > 30 > found["cache"].downtime_s > 0


def test_health_is_waited_for_until_the_engine_itself_would_give_up_and_no_longer_than_that():
    with_check = changed(("    image: postgres:15\n", "    image: postgres:15\n" + CHECK))
    (restart,) = predicted(with_check)
    assert restart.wait_s == round((20 + 3 * 15) * 1.25)
    assert restart.check == ("pg_isready", "-h", "127.0.0.1")
    (slow,) = predicted(with_check, measured_s={"db": 100.0})
    assert slow.wait_s == 300
    (forever,) = predicted(
        changed(("    image: postgres:15\n", "    image: postgres:15\n" + CHECK.replace("20s", "10h")))
    )
    assert forever.wait_s == 900 * 1.25
    (without,) = predicted(changed(("redis:7", "redis:8")))
    assert (without.wait_s, without.check) == (60, ())


def test_what_a_recreation_would_lose_is_carried_by_the_restart():
    (restart,) = predicted(
        changed(("redis:7", "redis:8")), layers={"cache": ("/data", "/data/dump.rdb", "/tmp/x"), "db": ("/y",)}
    )
    assert restart.loses == ("/data/dump.rdb",)


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        ((), ()),
        (("/uploads", "/uploads/a.png", "/uploads/b.png"), ("/uploads/a.png", "/uploads/b.png")),
        (("/tmp/x", "/run/a.pid", "/var/log/app.log", "/etc/hosts", "/var/cache/nginx", "/root/.cache/pip"), ()),
        (("/app/__pycache__/a.pyc", "/app/x.pyc", "/app/server.pid", "/app/a.lock", "/x/.s.PGSQL.5432"), ()),
        (("/tmpfiles/a", "/runner", "/app/pid"), ("/app/pid", "/runner", "/tmpfiles/a")),
        (("/home/app/.cache/x", "/home/app/notes"), ("/home/app/notes",)),
    ],
)
def test_only_what_no_start_writes_anew_would_be_missed(paths, left):
    assert lasting(paths) == left


def test_proxies_that_keep_an_old_address_are_named():
    stack = changed()
    restarts = predicted(changed(("example/web:1", "example/web:2")))
    (line,) = stale_proxies(stack, restarts)
    assert line == "front may keep the old address of web: reload it after the run if it does"
    assert stale_proxies(stack, predicted(changed(("redis:7", "redis:8")))) == ()
    both = predicted(changed(("example/web:1", "example/web:2"), ("nginx:1.27", "nginx:1.28")))
    assert stale_proxies(stack, both) == (), "it is made anew itself"


@pytest.mark.parametrize(
    ("value", "named"), [("http://cache:6379", True), ("cache", True), ("my-cache-x", False), ("cachet", False)]
)
def test_a_proxy_that_names_a_service_in_a_variable_is_one_behind_it(value, named):
    stack = changed(("    depends_on: [web]", f"    environment: {{UPSTREAM: '{value}'}}"))
    restarts = predict(changed(), changed(("redis:7", "redis:8")), NO_FACTS)
    assert bool(stale_proxies(stack, restarts)) is named
