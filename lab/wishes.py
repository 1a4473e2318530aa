"""Lets an inventory of practice hosts wish for something besides, by its text: its comments and all else stay. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def saying(inventory: str, variables: Mapping[str, Any]) -> str:
    """The inventory with these variables beside each `project_dir`, in place of its own lines of the same names."""
    for name in variables:
        inventory = re.sub(rf"(?m)^ +{name}: .*\n", "", inventory)

    def lines(match: re.Match[str]) -> str:
        return "".join(f"{match[1]}{name}: {json.dumps(value)}\n" for name, value in variables.items()) + match[1]

    return re.sub(r"(?m)^( +)(?=project_dir: )", lines, inventory)
