"""Which attributes each sensor ever stored, and how many it may have.

A sensor that invents names (a timestamp as a key, say) would otherwise flood every list of attributes. What a sensor
is known to have is remembered in this process, since it only ever grows while the sensor lives.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

# A network of 10,000 equal sensors needs one set and 10,000 references to it; far more than that begin anew.
_MOST_SENSORS: Final = 200_000
# Kinds of sensors there are few; growing sets are many.
_MOST_SETS: Final = 1_000

_known: dict[int, frozenset[str]] = {}
# Sensors of one kind share one set.
_sets: dict[frozenset[str], frozenset[str]] = {}
_NONE: Final[frozenset[str]] = frozenset()


def remembered(sensor_id: int) -> frozenset[str]:
    """Return the attributes that this process knows the sensor to have; perhaps not all that it has."""
    return _known.get(sensor_id, _NONE)


def admit(cursor: Any, names: Mapping[int, Collection[str]], *, limit: int, now: datetime) -> dict[int, frozenset[str]]:
    """Make `names` (by sensor id) known, as far as each sensor stays within `limit`; return what each now has.

    Inside the caller's transaction; remembered after its commit. Names are admitted in the order given. One writer a
    sensor at a time keeps the limit exact.
    """
    cursor.execute(
        "SELECT sensor_id, array_agg(name) FROM telemetry_attribute WHERE sensor_id = ANY(%s) GROUP BY sensor_id",
        [list(names)],
    )
    stored = {sensor_id: frozenset(known) for sensor_id, known in cursor.fetchall()}
    admitted = {}
    new: list[tuple[int, str]] = []
    for sensor_id, wanted in sorted(names.items()):
        known = stored.get(sensor_id, _NONE)
        unknown = [name for name in dict.fromkeys(wanted) if name not in known]
        unknown = unknown[: max(0, limit - len(known))]
        new += [(sensor_id, name) for name in unknown]
        admitted[sensor_id] = known.union(unknown)
    if new:
        # In the order in which rolling up makes them, so that neither waits for the other in a circle.
        new.sort()
        cursor.execute(
            "INSERT INTO telemetry_attribute (sensor_id, name, first_at)"
            " SELECT sensor_id, name, %s FROM unnest(%s::bigint[], %s::text[]) AS new (sensor_id, name)"
            " ON CONFLICT DO NOTHING",
            [now, [sensor_id for sensor_id, _ in new], [name for _, name in new]],
        )
    transaction.on_commit(lambda: _remember(admitted))
    return admitted


def forget() -> None:
    """Forget what is remembered, as a process that has just started."""
    _known.clear()
    _sets.clear()


def _remember(admitted: Mapping[int, frozenset[str]]) -> None:
    if len(_known) > _MOST_SENSORS:
        _known.clear()
    if len(_sets) > _MOST_SETS:
        _sets.clear()
    for sensor_id, names in admitted.items():
        _known[sensor_id] = _sets.setdefault(names, names)
