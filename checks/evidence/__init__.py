"""The evidence store: what runs did, how gates judged, what soaks measured, how each host was left, where each journal stood.

A SQLite file by default, readable by its owner alone; `RUNBOOK_STORE` names a PostgreSQL database instead.
"""

from checks.evidence.points import Point, incidents, points, tallies
from checks.evidence.records import GateRecord, RunRecord, StepRecord, UpRecord
from checks.evidence.retention import compact, is_time
from checks.evidence.schema import SCHEMA
from checks.evidence.soaks import Claim, Soaks
from checks.evidence.store import Store, folder

__all__ = [
    "SCHEMA",
    "Claim",
    "GateRecord",
    "Point",
    "RunRecord",
    "Soaks",
    "StepRecord",
    "Store",
    "UpRecord",
    "compact",
    "folder",
    "incidents",
    "is_time",
    "points",
    "tallies",
]  # fmt: skip
