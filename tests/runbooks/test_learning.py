"""What a stack teaches the Mask: its passwords, but never its names."""

from __future__ import annotations

from inventory.secrets import MASKED, Mask
from runbooks.learning import learn
from runbooks.model import NO_FACTS
from tests.runbooks.compose.material import stack_of

WEAK = """
services:
  postgres:
    image: postgres:16
    environment: {POSTGRES_PASSWORD: postgres, POSTGRES_USER: keeper}
  web:
    image: shop/web
    command: ["serve", "--token=from-the-command-line"]
    environment:
      - DATABASE_URL=postgresql://keeper:postgres@postgres:5432/shop
      - SESSION_SECRET=a-real-secret
"""


def taught() -> Mask:
    mask = Mask()
    learn(mask, stack_of({"compose.yml": WEAK}), NO_FACTS)
    return mask


def test_a_password_that_is_also_a_name_is_hidden_only_where_it_is_given() -> None:
    mask = taught()
    assert mask.hide("postgres: image postgres:16") == "postgres: image postgres:16"
    assert mask.hide("      POSTGRES_PASSWORD: postgres") == f"      POSTGRES_PASSWORD: {MASKED}"
    assert mask.hide('{"POSTGRES_PASSWORD": "postgres"}') == f'{{"POSTGRES_PASSWORD": "{MASKED}"}}'
    hidden = mask.hide("postgresql://keeper:postgres@postgres:5432/shop")
    assert hidden == f"postgresql://keeper:{MASKED}@postgres:5432/shop"


def test_a_password_of_its_own_is_hidden_everywhere() -> None:
    mask = taught()
    assert mask.hide("token a-real-secret, from-the-command-line") == f"token {MASKED}, {MASKED}"
