"""Whether the phases that a phase requires stand on a stack: planned there, they would change nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runbooks import book
from runbooks.book import Phase
from runbooks.draft import Draft


def unmet(phase: Phase, walked: Callable[[Phase], Draft]) -> Iterator[str]:
    """A line for each required phase that does not stand. `walked` plans a phase on the stack as it is.

    That a phase was carried out here once is no proof: somebody may have taken a part of it back since. And where it
    came by git, no journal of the host knows of it.
    """
    for number in phase.requires:
        required = book.load(number)
        made = walked(required)
        left = sum(len(change.altered) for stage in made.changed for _, change in stage.steps)
        if made.changed:
            yield (
                f"phase {phase.number} requires phase {number} ({required.name}), which would still change {left} "
                f"thing{'s' if left != 1 else ''} here: carry that out first (--phase {number})"
            )
