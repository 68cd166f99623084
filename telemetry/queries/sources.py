"""Where the numbers of a series come from: rolled-up hours and minutes, and measurements for the rest."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from telemetry.rollups.horizon import BEGINNING, HOUR, hour_of, next_hour
from telemetry.rollups.spans import Span, common, joined, whole, without

_HOUR_S: Final = 3_600
_MINUTE_S: Final = 60
# Each is a part of the statement and takes a third of a millisecond to plan; of more, neighbours are read as one.
_MAX_RAW_SPANS: Final = 16

_KNOWN: Final = """
SELECT attribute.id, state.rolled_before, state.raw_before,
       ARRAY(
           SELECT DISTINCT hour FROM telemetry_rollupmark
           WHERE sensor_id = %(sensor_id)s AND hour >= %(first_hour)s AND hour < %(end)s ORDER BY hour
       )
FROM (VALUES (1)) AS one
LEFT JOIN telemetry_attribute AS attribute ON attribute.sensor_id = %(sensor_id)s AND attribute.name = %(attribute)s
LEFT JOIN telemetry_rollupstate AS state ON state.sensor_id = %(sensor_id)s
"""
_HOURS_BETWEEN: Final = """
SELECT start, is_dense FROM telemetry_hourrollup
WHERE attribute_id = %(attribute_id)s AND start >= %(first_hour)s AND start < %(end)s ORDER BY start
"""
_HOURS_AT_THE_EDGES: Final = """
SELECT start, is_dense FROM telemetry_hourrollup
WHERE attribute_id = %(attribute_id)s AND start IN (%(first_hour)s, %(last_hour)s) ORDER BY start
"""


@dataclass(frozen=True, slots=True)
class Sources:
    """Which spans of a series are read from where. Together they cover its range, every moment once.

    Only where retention has deleted measurements a part of an hour at the range's edge may be in none of them.
    """

    attribute_id: int | None
    # The length of the buckets: as asked for, or longer where what is left is coarser.
    bucket_s: int
    hours: list[Span]
    minutes: list[Span]
    raw: list[Span]


def find_sources(cursor: Any, *, sensor_id: int, attribute: str, span: Span, bucket_s: int) -> Sources:
    """Return where the numbers of `attribute` in `span` are read from: as coarse as `bucket_s` allows."""
    start, end = span
    values: dict[str, Any] = {
        "sensor_id": sensor_id,
        "attribute": attribute,
        "first_hour": hour_of(start),
        "last_hour": hour_of(end),
        "end": end,
    }
    cursor.execute(_KNOWN, values)
    attribute_id, rolled_before, raw_before, marked = cursor.fetchone()
    if rolled_before is None or rolled_before <= start:
        return Sources(attribute_id, bucket_s, [], [], [span])
    values["attribute_id"] = attribute_id
    frozen_before = BEGINNING if raw_before is None else next_hour(raw_before)
    # Frozen hours are as they are, whatever is marked.
    stale = joined((hour, hour + HOUR) for hour in marked if hour >= frozen_before)
    rolled = without(common([span], [(BEGINNING, rolled_before)]), stale)

    is_short = bool(bucket_s % _HOUR_S)
    cursor.execute(_HOURS_BETWEEN if is_short else _HOURS_AT_THE_EDGES, values)
    found: list[tuple[datetime, bool]] = cursor.fetchall()
    frozen = [is_dense for hour, is_dense in found if hour < frozen_before]
    if is_short and frozen:
        # The measurements are gone: a shorter bucket would hold what was not measured in it.
        bucket_s = max(bucket_s, _MINUTE_S) if all(frozen) else _HOUR_S

    hours = whole(rolled, HOUR) if bucket_s % _HOUR_S == 0 else []
    minutes: list[Span] = []
    if bucket_s % _MINUTE_S == 0:
        dense = joined((hour, hour + HOUR) for hour, is_dense in found if is_dense)
        minutes = whole(common(without(rolled, hours), dense), timedelta(minutes=1))
    raw = without([span], joined(sorted(hours + minutes)))
    raw = joined(common(raw, [(frozen_before, max(end, frozen_before))]), most=_MAX_RAW_SPANS)
    return Sources(attribute_id, bucket_s, without(hours, raw), without(minutes, raw), raw)
