"""What measures by what programs say: start-up, resources, a pool's use."""

import pytest

from checks.probes.pgbouncer import utilisation
from tests.checks.judging import judged

pytestmark = pytest.mark.slow


def started(
    service="web",
    at="10:00:00.123456789",
    status="healthy",
    period=60,
    interval=30,
    first="10:00:01",
    passed="10:00:04.5",
):
    """A line as the engine gives it."""
    times = [f'"2026-01-01T{time}Z"' if time else "" for time in (first, passed)]
    return "|".join([service, f"2026-01-01T{at}Z", status, str(period * 10**9), str(interval * 10**9), *times])


CLOCK = "2026-01-01T10:02:00Z"
STARTUPS = [
    # lines, settings, ok, value, detail
    ([started()], {}, True, pytest.approx(4.376544), ""),
    ([started(at="10:00:00"), started(at="09:59:58")], {}, True, 6.5, ""),
    ([started("db"), started(at="10:00:00", passed="10:00:02")], {}, True, 2.0, ""),
    ([started(status="", period=0, interval=0, first="", passed="")], {}, True, None, ""),
    ([started(first="11:30:00", passed="11:30:01")], {}, True, None, ""),
    ([started(status="starting", passed="")], {}, True, None, ""),
    ([started(status="starting", passed="")], {"limit_s": 100}, False, pytest.approx(119.876, abs=0.01), "not healthy 100 s after its start"),
    ([started("db")], {}, True, None, ""),
    (["web|nonsense"], {}, None, None, "the engine's answer cannot be understood"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "settings", "ok", "value", "detail"), STARTUPS)
def test_a_start_is_measured_where_the_engine_still_knows_its_first_check(lines, settings, ok, value, detail):
    assert judged("startup", "\n".join([CLOCK, *lines]), **settings) == (ok, value, detail)


def test_an_engine_that_is_away_measures_nothing():
    away = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock"
    for kind in ("startup", "resources"):
        assert judged(kind, away, 125)[0] is None


USED = """\
cpus 4
limit aaa 2000000000 0 0 web
limit bbb 0 50000 100000 web
limit ccc 0 0 0 db
used aaa 50.00% 75.50%
used bbb 30.00% 24.50%
used ccc 100.00% 10.00%
"""


@pytest.mark.parametrize(
    ("service", "of", "output", "found"),
    [
        ("web", "cpu", USED, (True, (25 + 60) / 2, "")),
        ("web", "memory", USED, (True, 50.0, "")),
        ("db", "cpu", USED, (True, 25.0, "")),
        ("db", "memory", USED, (True, 10.0, "")),
        ("gone", "cpu", USED, (None, None, "gone: no running container")),
        ("db", "cpu", USED.replace("100.00%", "--"), (None, None, "db: no running container")),
        ("web", "cpu", "", (None, None, "web: no running container")),
    ],
)
def test_use_is_measured_against_the_limit_or_else_the_host(service, of, output, found):
    assert judged("resources", output, service=service, of=of) == found


POOLS = [
    "database|user|cl_active|cl_waiting|sv_active|sv_idle|pool_mode",
    "pgbouncer|pgbouncer|1|0|0|0|statement",
    "shop|eve|30|5|15|0|transaction",
    "shop|bob|1|0|1|4|transaction",
    "blog|eve|1|0|3|1|transaction",
    "name|host|port|database|force_user|pool_size|min_pool_size|reserve_pool_size",
    "blog|db|5432|blog||5|0|0",
    "pgbouncer||6432|pgbouncer|pgbouncer|2|0|0",
    "shop|db|5432|shop||20|0|5",
]


@pytest.mark.parametrize(
    ("lines", "used"), [(POOLS, 75.0), (POOLS[:2] + POOLS[5:], 0.0), (["ERROR:  not allowed"], None), ([], None)]
)
def test_a_pools_use_is_that_of_the_fullest(lines, used):
    assert utilisation(lines) == used


def test_a_pooler_that_does_not_tell_its_use_is_well_all_the_same():
    assert judged("pgbouncer", "1\nERROR:  not allowed", pool=True) == (
        True,
        None,
        "its console does not say how full it is",
    )
    assert judged("pgbouncer", "1\n" + "\n".join(POOLS), pool=True) == (True, 75.0, "")
    assert judged("pgbouncer", "no connection", 2, pool=True) == (False, None, "no connection")
