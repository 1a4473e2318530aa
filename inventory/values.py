"""Frozen dataclasses that cost little to define: what Python's own `dataclass` writes anew for each class is shared, or written when first used.

A command loads more than a hundred of them and makes values of half. Python's own take a third of a millisecond each, compiled in six
pieces; these a tenth of that, and `fields`, `replace`, `asdict` and pickles work as ever. What is left out: `order`, `slots`, `InitVar`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from functools import cache, partial
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, TypeVar, dataclass_transform, overload

Class = TypeVar("Class", bound=type)
Names = Callable[[Any], tuple[Any, ...]]


@overload
def frozen(cls: Class, /) -> Class: ...
@overload
def frozen(*, kw_only: bool = False) -> Callable[[Class], Class]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, kw_only: bool = False) -> Any:
    """As `dataclass(frozen=True)`. With `kw_only` every field is given by its name."""
    if cls is None:
        return partial(frozen, kw_only=kw_only)
    own = dict(vars(cls))
    made = dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    made.__init__ = _first(made)
    for name, method in SHARED.items():
        if own.get(name) is None:
            setattr(made, name, method)
    return made


def _first(cls: Any) -> Callable[..., None]:
    """What a class has instead of `__init__` until its first value is made."""

    def __init__(self: Any, *given: Any, **named: Any) -> None:
        cls.__init__ = _init(cls)
        cls.__init__(self, *given, **named)

    return __init__


def _init(cls: Any) -> Callable[..., None]:
    """`__init__` with a parameter for each field, as `dataclass` writes it."""
    known: dict[str, Any] = {"__put": object.__setattr__, "__absent": MISSING}
    given, named, body = ["self"], list[str](), list[str]()
    for each in fields(cls):
        name = value = parameter = each.name
        if each.default is not MISSING:
            known[f"__default_{name}"] = each.default
            parameter = f"{name}=__default_{name}"
        elif each.default_factory is not MISSING:
            known[f"__make_{name}"] = each.default_factory
            parameter = f"{name}=__absent"
            value = f"__make_{name}() if {name} is __absent else {name}" if each.init else f"__make_{name}()"
        elif not each.init:
            continue
        if each.init:
            (named if each.kw_only else given).append(parameter)
        elif each.default is not MISSING:
            continue  # the class has it
        body.append(f" __put(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    head = f"def __init__({', '.join([*given, *(['*'] if named else []), *named])}):"
    exec("\n".join([head, *(body or [" pass"])]), known)  # noqa: S102 - names of fields, which are identifiers
    made: Callable[..., None] = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


@cache
def _compared(cls: Any) -> Names:
    return _values([each.name for each in fields(cls) if each.compare])


@cache
def _hashed(cls: Any) -> Names:
    return _values([each.name for each in fields(cls) if (each.compare if each.hash is None else each.hash)])


def _values(names: list[str]) -> Names:
    """What tells the values of these fields, always as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


class _Shared:
    """What all of them have."""

    @recursive_repr()
    def __repr__(self: Any) -> str:
        shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        cls: Any = self.__class__
        values = _compared(cls)
        return values(self) == values(other)

    def __hash__(self) -> int:
        cls: Any = self.__class__
        return hash(_hashed(cls)(self))

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")


SHARED = {name: vars(_Shared)[name] for name in ("__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__")}
