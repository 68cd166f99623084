"""The numbers of one attribute as they were measured, one after the other, in constant memory."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from django.db import connection

from sensors.models import Sensor

# (measured_at in microseconds since 1970, the number).
Number = tuple[int, float]

_PER_CHUNK: Final = 10_000
# What is no number is left out, and so is one that no double holds, as in ingest.
_NUMBERS: Final = """
SELECT (extract(epoch FROM measured_at) * 1000000)::bigint, number::float8 FROM (
    SELECT measured_at, digest, CASE WHEN jsonb_typeof(value -> %(attribute)s) = 'number'
                                     THEN (value -> %(attribute)s)::numeric END AS number
    FROM telemetry_measurement
    WHERE sensor_id = %(sensor_id)s AND measured_at >= %(start)s AND measured_at < %(end)s
    OFFSET 0
) AS measured
WHERE abs(number) <= 1.7976931348623157e308
ORDER BY measured_at, digest
"""


def numbers_of(sensor: Sensor, attribute: str, *, start: datetime, end: datetime) -> Iterator[list[Number]]:
    """Yield the numbers of [start, end) in the order of the sensor's clock, some thousand at a time.

    Inside a transaction: it reads through a cursor of the server.
    """
    with connection.chunked_cursor() as cursor:
        cursor.execute(_NUMBERS, {"sensor_id": sensor.pk, "attribute": attribute, "start": start, "end": end})
        while chunk := cursor.fetchmany(_PER_CHUNK):
            yield chunk
