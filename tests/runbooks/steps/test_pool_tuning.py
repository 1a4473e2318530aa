"""Pools by measured use: raised where they are too full, lowered only on the operator's word, within max_connections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inventory.errors import InputError
from runbooks import book
from runbooks.compose.model import Stack
from runbooks.model import NO_FACTS, Answer, Change, Facts
from tests.runbooks.compose import invariants
from tests.runbooks.steps.material import asks, change, live, reasons, services, stack_of

STEP = "pool_tuning"
URL = "DATABASE_URL: 'postgres://app:se%40cret@db:5432/shop'"


def stack(*more: str) -> Stack:
    own = ", ".join([URL, "POOL_MODE: transaction", *more])
    return services(
        db="image: 'postgres:17'",
        pgbouncer=f"image: 'edoburu/pgbouncer:v1', environment: {{{own}}}",
        app="image: app, environment: {DATABASE_URL: 'postgres://app:se%40cret@pgbouncer:5432/shop'}",
    )


def looks(*rows: tuple[int, int]) -> str:
    """What the console says in each look: server connections at work, clients that wait."""
    heading = "database|user|cl_active|cl_waiting|sv_active|sv_idle|maxwait|pool_mode\npgbouncer|pgbouncer|1|0|0|0|0|statement\n"
    return "".join(f"{heading}shop|app|30|{waiting}|{active}|2|0|transaction\n" for active, waiting in rows)


def host(on: Stack, output: str, most: int = 100, code: int = 0) -> Facts:
    answers = {f"{STEP}/pools": Answer(code, output, 4.0), "pgbouncer/max_connections": Answer(0, f"{most}\n", 0.1)}
    return replace(live(on), answers=answers)


def planned(on: Stack, facts: Facts = NO_FACTS, **more: Any) -> Change:
    return change(STEP, on, facts, **more)


def size(made: Change) -> str | None:
    variable = made.stack.services["pgbouncer"].environment.get("DEFAULT_POOL_SIZE")
    return variable.value if variable else None


def test_the_console_is_asked_as_the_pooler_s_own_login_without_a_word_in_a_process_list() -> None:
    question = asks(STEP, stack(), live(stack()))[1]
    assert question.argv[-3:] == ("pgbouncer", "5432", "app")
    assert question.environment["PGPASSWORD"] == "se@cret"
    assert "se@cret" not in " ".join(question.argv)


def test_a_pool_that_is_too_full_grows_towards_seventy_percent_of_the_fullest_look() -> None:
    on = stack("DEFAULT_POOL_SIZE: 20")
    made = planned(on, host(on, looks((12, 0), (20, 8), (14, 0))))
    assert size(made) == "40"
    (altered,) = made.altered
    assert (altered.before, altered.after) == ("DEFAULT_POOL_SIZE=20", "DEFAULT_POOL_SIZE=40")
    assert altered.reason == "28 of 20 server connections (140 %) used: towards 70 %"
    invariants.only_the_edits_differ(on, made)
    assert planned(made.stack, host(on, looks((28, 0)))).edits == ()


def test_a_size_that_the_image_has_by_itself_is_written_out() -> None:
    on = stack()
    assert size(planned(on, host(on, looks((20, 1))))) == "30"


def test_a_pool_that_is_little_used_now_stays_until_the_operator_names_the_peak() -> None:
    on = stack("DEFAULT_POOL_SIZE: 20")
    made = planned(on, host(on, looks((3, 0))))
    assert made.edits == ()
    assert "set pool_peak to lower it" in reasons(made)["pgbouncer", "pool"]
    assert size(planned(on, host(on, looks((3, 0))), pool_peak=7)) == "10"
    assert size(planned(on, NO_FACTS, pool_peak=1)) == "5"
    assert planned(stack("DEFAULT_POOL_SIZE: 5"), NO_FACTS, pool_peak=1).edits == ()


def test_a_use_between_sixty_and_eighty_percent_is_left_alone() -> None:
    on = stack("DEFAULT_POOL_SIZE: 20")
    made = planned(on, host(on, looks((14, 0))))
    assert reasons(made)["pgbouncer", "pool"] == "14 of 20 server connections (70 %) used, as it should be"


def test_a_size_goes_no_further_than_the_database_takes() -> None:
    on = stack("DEFAULT_POOL_SIZE: 20")
    made = planned(on, host(on, looks((20, 30)), most=40))
    assert size(made) == "37"
    assert "72 are needed, and max_connections 40 (asked)" in reasons(made)["pgbouncer", "pool"]
    none = planned(on, host(on, looks((20, 30)), most=20))
    assert none.edits == ()
    assert none.refused[0].reason.endswith(
        "72 are needed, and max_connections 20 (asked), 3 reserved, 0 direct and 1 pool(s) leave 17"
    )


def test_a_console_that_does_not_answer_changes_nothing_and_is_told() -> None:
    on = stack()
    made = planned(on, host(on, "psql: error: not allowed\n", code=2))
    assert made.edits == ()
    (kept,) = made.kept
    assert (kept.attention, kept.reason) == (
        True,
        "its console does not say how much is used: psql: error: not allowed",
    )


@pytest.mark.parametrize(
    "output", ["", "nonsense", "database|user\nshop|app\n", looks() + "shop|app|x|y|z|0|0|session\n"]
)
def test_a_console_that_says_nothing_of_use_changes_nothing(output: str) -> None:
    on = stack()
    assert planned(on, host(on, output)).edits == ()


def test_without_a_host_or_a_pooler_it_says_why_nothing_is_changed() -> None:
    assert "is not known without a host" in planned(stack()).kept[0].reason
    assert planned(stack_of("services:\n  web:\n    image: web\n")).kept[0].reason == "the stack has no pooler"


@pytest.mark.parametrize("value", [-1, "many", True, 2.5, []])
def test_a_peak_that_is_no_count_is_one_line_with_the_mend(value: Any) -> None:
    with pytest.raises(InputError, match=r"^phase_2\.yml:7: vars\.pool_peak: "):
        book.check_setting(STEP, "pool_peak", value, "phase_2.yml", 7)
