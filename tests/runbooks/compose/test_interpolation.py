"""What a text of a Compose file means once its variables are filled in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runbooks.compose.interpolation import BadTemplate, pieces, substitute

SET = {"A": "one", "B": "", "LONG_1": "${A}"}
parts = st.sampled_from(
    ["$", "$$", "{", "}", "${A}", "${B}", "${C}", "${A:-x}", "${B:-x}", "${B-x}", "${C-x}", "${C:-${A}}", "${C:-}",
     "${LONG_1:+y}", "${A:?no}", "${C?no}", "$A", "$C.", "A", "-", ":", " ", "é", "$${A}", "$${C:-x}", "${A:-{x}}"]
)  # fmt: skip


@given(st.lists(parts, max_size=8).map("".join))
def test_a_value_is_its_pieces_whichever_way_it_is_made(template: str) -> None:
    def outcome(quickly: bool) -> tuple[str, list[str]]:
        unset: list[str] = []
        try:
            made = (
                substitute(template, SET.get, unset.append)
                if quickly
                else "".join(piece.text for piece in pieces(template, SET.get, unset.append))
            )
        except BadTemplate as error:
            return error.message, []
        return made, unset

    assert outcome(quickly=True) == outcome(quickly=False)


def test_a_check_in_a_shell_keeps_its_variables() -> None:
    assert (
        substitute('pg_isready -U "$${POSTGRES_USER:-postgres}"', SET.get)
        == 'pg_isready -U "${POSTGRES_USER:-postgres}"'
    )
