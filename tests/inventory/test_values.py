"""A frozen class is what Python's own frozen dataclass is, in all that the program uses of one."""

from __future__ import annotations

import copy
import pickle
import threading
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace

import pytest

from inventory.values import frozen


def classes(make, by_name):
    """One class of each form, made by one decorator."""

    @make
    class Stack:
        """A stack."""

        name: str
        files: tuple[str, ...] = ()
        labels: dict[str, str] = field(default_factory=dict, compare=False)
        password: str = field(default="", repr=False)
        source: object = field(default=None, hash=False)
        known: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    @make
    class Project(Stack):
        """A stack with one field more."""

        folder: str = "/srv"

    @by_name
    class Event:
        """Given by names."""

        at: float = 0.0
        host: str

    @make
    class Alone:
        """One field."""

        only: float

    @make
    class Nothing:
        """None at all."""

    return Stack, Project, Event, Alone, Nothing


OURS = classes(frozen, frozen(kw_only=True))
PYTHON = classes(dataclass(frozen=True), dataclass(frozen=True, kw_only=True))
Stack, Project, Event, Alone, Nothing = OURS
GIVEN = [
    (0, ("shop",), {}),
    (0, ("shop", ("a.yml",)), {"password": "hunter22"}),
    (0, (), {"name": "shop", "labels": {"a": "b"}, "source": [1]}),
    (1, ("shop",), {"folder": "/opt/shop"}),
    (2, (), {"host": "web-1"}),
    (2, (), {"host": "web-1", "at": 2.5}),
    (3, (float("nan"),), {}),
    (4, (), {}),
]


@frozen
class Kept:
    """One that a pickle can find."""

    name: str
    more: tuple[int, ...] = ()


@pytest.mark.parametrize(("form", "given", "named"), GIVEN)
def test_a_value_is_shown_compared_listed_and_replaced_as_pythons_own(form, given, named):
    ours, pythons = OURS[form], PYTHON[form]
    one, like = ours(*given, **named), pythons(*given, **named)
    assert repr(one) == repr(like)
    assert asdict(one) == asdict(like)
    assert [each.name for each in fields(one)] == [each.name for each in fields(like)]
    assert ours.__match_args__ == pythons.__match_args__
    assert one == ours(*given, **named)
    assert hash(one) == hash(like) == hash(ours(*given, **named))
    first = next((each.name for each in fields(one) if each.init), None)
    if first:
        assert asdict(replace(one, **{first: "other"})) == asdict(replace(like, **{first: "other"}))
        assert one != replace(one, **{first: "other"})


def test_what_does_not_count_for_equality_does_not():
    assert Stack("shop", labels={"a": "b"}) == Stack("shop")
    assert Stack("shop", source=1) != Stack("shop", source=2)
    assert hash(Stack("shop", source=[1])) == hash(Stack("shop", source=[2]))
    assert Stack("shop") != Project("shop")
    assert Stack("shop").labels is not Stack("shop").labels


@pytest.mark.parametrize("given", [((), {}), (("a", (), {}, "", 0, "more"), {}), (("a",), {"nmae": 1})])
def test_a_mistake_is_named_in_pythons_words(given):
    words = []
    for cls in (Stack, PYTHON[0]):
        with pytest.raises(TypeError) as caught:
            cls(*given[0], **given[1])
        words.append(str(caught.value))
    assert words[0] == words[1]


def test_nothing_is_changed_afterwards():
    made = Stack("shop")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'name'"):
        made.name = "other"
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'name'"):
        del made.name
    assert made.name == "shop"


def test_a_value_that_was_pickled_is_equal_where_the_class_has_made_none_yet():
    kept = pickle.dumps(Kept("shop", (1,)))
    assert pickle.loads(kept) == Kept("shop", (1,)) == copy.deepcopy(Kept("shop", (1,)))


def test_first_values_made_by_many_threads_at_once_are_all_whole():
    @frozen
    class Fresh:
        name: str
        more: dict[str, int] = field(default_factory=dict)

    found, together = [], threading.Barrier(8)

    def make(number):
        together.wait()
        found.append(Fresh(f"host-{number}"))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {each.name for each in found} == {f"host-{number}" for number in range(8)}
    assert all(each.more == {} for each in found)


def test_a_class_keeps_the_methods_that_it_brings():
    @frozen
    class Secret:
        text: str

        def __repr__(self) -> str:
            return "***"

    assert repr(Secret("hunter22")) == "***"
    assert Secret("a") == Secret("a") != Secret("b")
