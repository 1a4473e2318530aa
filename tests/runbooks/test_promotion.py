"""The way to production: what is missing is one clear line, and what is there opens it, for that very plan only."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checks.evidence import RunRecord, Soaks
from checks.model import Probe, Sample
from checks.soak import Soak
from inventory.errors import InputError
from inventory.model import Host, Inventory, Project
from runbooks import promotion, soaking
from runbooks.plan_model import HostPlan, Plan

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STAGED = NOW - timedelta(hours=50)


def inventory(**variables):
    return Inventory(
        "production", "production.yml", (Host("p-1", "p-1", Project("/srv/shop"), variables=variables),), {}
    )


NEEDS = inventory(requires_soak={"environment": "staging", "hours": 1})


class Changed(HostPlan):
    changed = True


def plan(key="key", changed=True):
    made = Plan("1", "production", ("s",), (), "f", key)
    return made if not changed else type("Changing", (Plan,), {"changed": True})(**made.__dict__)


def staged(store, run="20260227-100000-aaaaaa", key="key", at=STAGED, **hosts):
    store.start(RunRecord(run, "migrate", "staging", "1", "eve", "f", key, at.isoformat(), None, "", None, "", {}, ""))
    store.end(run, outcome="done", code=0, message="", hosts=hosts or {"s-1": "changed"})
    return run


def rolled_back(store, undoes, run="20260228-100000-bbbbbb"):
    at = NOW - timedelta(hours=1)
    store.start(
        RunRecord(run, "rollback", "staging", "", "eve", "", "", at.isoformat(), None, "", None, "", {}, undoes)
    )
    store.end(run, outcome="done", code=0, message="", hosts={"s-1": "undone"})


def soaked(store, run, *, key="key", hours=1.0, begin=STAGED, ticks=3600, ok=True, identity="soak-1"):
    """A soak of a tick each second and a hundred probes a tick: enough samples within the hour."""
    soak = Soak(identity, "staging", "", (), "1", run, key, "eve", begin.isoformat(), hours * 3600, 36.0)
    kept = Soaks(store)
    series = kept.start(soak, [("s-1", "shop", Probe("container", f"container:{n}", "db")) for n in range(100)])
    ids = {(each.host, each.probe.name): each.id for each in series}
    for number in range(ticks):
        claim = kept.claim(soak, begin + timedelta(seconds=36 * number + 1), "t")
        kept.record(claim, ids, [Sample(each.probe.name, "s-1", "", ok) for each in series])
    return soak


def refusal(store, given=NEEDS, made=None):
    found = promotion.refusal(store, given, made or plan(), NOW)
    return str(found) if found else None


def test_without_a_requirement_or_a_change_nothing_is_asked(store):
    assert refusal(store, inventory()) is None
    assert refusal(store, made=plan(changed=False)) is None


def test_an_environment_that_was_not_migrated_is_said_with_what_to_do_and_when(store):
    found = refusal(store)
    assert found.startswith(
        "production needs a passed soak of 1 h on staging with this very plan: staging was not migrated with it (./inv migrate --phase 1 --env staging, then"
    )
    assert "it could be there on 2026-03-01 13:00" in found
    assert len(found.splitlines()) == 1


def test_a_passed_soak_of_the_same_plan_opens_the_way_and_of_another_does_not(store):
    run = staged(store)
    soaked(store, run, ticks=100)
    assert refusal(store) is None
    assert f"staging stands with another plan (run {run})" in refusal(store, made=plan("other"))


def test_a_soak_is_missing_until_it_was_begun(store):
    staged(store)
    assert "with this very plan: none was begun (./inv soak.start --env staging; it could be there on" in refusal(store)


def test_a_soak_that_goes_on_says_when_it_could_have_passed(store):
    run = staged(store)
    soaked(store, run, begin=NOW - timedelta(minutes=30), ticks=50)
    assert soaking.ended(store, Soaks(store).get("soak-1")).outcome, "by the machine's own clock it is over long since"


def test_a_running_soak_says_when_it_could_have_passed(store):
    begin = datetime.now(UTC) - timedelta(minutes=30)
    run = staged(store, at=begin)
    soaked(store, run, begin=begin, ticks=50)
    found = str(promotion.refusal(store, NEEDS, plan()))
    assert "soak-1 goes on, with a coverage of 100 % so far (it could be there on " in found


@pytest.mark.parametrize(
    ("ticks", "ok", "why"),
    [
        (50, True, "inconclusive: coverage is 50 %, 90 % is needed"),
        (100, False, "fail: container:"),
        (0, True, "inconclusive: nothing was measured"),
    ],
)
def test_one_that_did_not_pass_is_said_with_its_reason(store, ticks, ok, why):
    run = staged(store)
    soaked(store, run, ticks=ticks, ok=ok)
    found = refusal(store)
    assert f"soak-1 is not it ({why}" in found
    assert "./inv soak.start --env staging --hours 1" in found


def test_one_that_was_shorter_than_is_asked_for_is_not_enough(store):
    run = staged(store)
    soaked(store, run, hours=0.5, ticks=50)
    assert "soak-1 is not it (it took 0.5 h)" in refusal(store)


@pytest.mark.slow
@pytest.mark.parametrize("undoes", ["20260227-100000-aaaaaa", "20260227-100000-aaaaaa-1", "20260226-090000-cccccc-2"])
def test_a_soak_counts_no_more_once_its_run_was_rolled_back(store, undoes):
    run = staged(store)
    soaked(store, run, ticks=100)
    assert refusal(store) is None
    rolled_back(store, undoes)
    assert "staging was not migrated with it" in refusal(store)


@pytest.mark.slow
def test_the_rollback_of_a_later_run_takes_nothing_from_it(store):
    run = staged(store)
    soaked(store, run, ticks=100)
    rolled_back(store, "20260228-110000-eeeeee-1")
    assert refusal(store) is None


def test_the_rollback_of_an_earlier_run_takes_what_came_later_on_its_hosts(store):
    run = staged(store)
    soaked(store, run, ticks=100)
    rolled_back(store, "20260201-100000-dddddd")
    assert "staging was not migrated with it" in refusal(store)


def test_a_soak_counts_no_more_once_something_else_was_changed_there(store):
    run = staged(store)
    soaked(store, run, ticks=100)
    later = staged(store, "20260228-120000-ffffff", "other", NOW - timedelta(hours=2))
    assert f"staging stands with another plan (run {later})" in refusal(store)
    assert refusal(store, made=plan("other")).startswith(
        "production needs a passed soak of 1 h on staging with this very plan: none was begun"
    )


def test_a_run_that_changed_nothing_takes_nothing_from_it(store):
    run = staged(store)
    soaked(store, run, ticks=100)
    staged(store, "20260228-120000-ffffff", "other", NOW - timedelta(hours=2), **{"s-1": "unchanged"})
    assert refusal(store) is None


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"requires_soak": {"hours": 48}},
            "production.yml: requires_soak.environment: names no other environment (write environment: staging)",
        ),
        ({"requires_soak": {"environment": "production"}}, "names no other environment"),
        (
            {"requires_soak": {"environment": "staging", "hours": "two"}},
            "requires_soak.hours: 'two' is no number of hours (write 48)",
        ),
        ({"requires_soak": {"environment": "staging", "hours": True}}, "True is no number of hours"),
        (
            {"requires_soak": {"enviroment": "staging"}},
            "requires_soak: enviroment is no setting of it (did you mean environment?)",
        ),
    ],
)
def test_a_requirement_that_cannot_be_read_is_one_line(variables, words):
    with pytest.raises(InputError) as found:
        promotion.required(inventory(**variables))
    assert words in str(found.value)


def test_hosts_that_ask_for_different_soaks_are_refused():
    two = inventory(requires_soak={"environment": "staging"})
    other = replace(two.hosts[0], name="p-2", variables={"requires_soak": {"environment": "qa"}})
    with pytest.raises(InputError, match=r"requires_soak: differs between hosts \(write it once, under vars\)"):
        promotion.required(replace(two, hosts=(*two.hosts, other)))


def test_a_soaks_length_is_the_operators_else_the_inventorys_else_two_days():
    assert promotion.length(inventory()) == promotion.Wanted(48 * 3600.0, 30.0)
    given = inventory(soak={"hours": 0.5, "every": "5s"})
    assert promotion.length(given) == promotion.Wanted(1800.0, 5.0)
    assert promotion.length(given, "2", "1m") == promotion.Wanted(7200.0, 60.0)
    assert [promotion.watches(each) for each in (inventory(), given, NEEDS)] == [False, True, True]
