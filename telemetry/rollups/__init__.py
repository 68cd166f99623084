"""Measurements summed up by the hour, and by the minute where there are many: for series over long ranges.

Each sensor is rolled up to a moment of its own (`RollupState`), never beyond the horizon. What is stored before the
horizon is late: ingest marks its hour in its own transaction, and the hour is rolled up again. See
docs/decisions/0005-rollups.md.
"""

from telemetry.rollups.horizon import advance_horizon, current_horizon
from telemetry.rollups.marks import HOUR_US, lock_horizon, mark_late
from telemetry.rollups.rolling import Left, Rolled, freeze, rebuild, roll_up, work_left
from telemetry.rollups.summing import ROLLUPS

__all__ = [
    "HOUR_US",
    "ROLLUPS",
    "Left",
    "Rolled",
    "advance_horizon",
    "current_horizon",
    "freeze",
    "lock_horizon",
    "mark_late",
    "rebuild",
    "roll_up",
    "work_left",
]
