"""Months of stored measurements, made by the database: rows as ingest leaves them, in the order of time."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tests.bench.bench import Bench
from tests.bench.installation import Installation

# A transaction of two seconds.
CHUNK_ROWS: Final = 250_000
# The database works on as many cores as there are connections that insert.
CONNECTIONS: Final = 2

# Row i is measured by sensor i modulo their number, so that the rows of one lie apart, as they arrive. Their times are
# spread evenly, with a jitter that no two of one sensor can meet; the digest is a hash, so as random as a real one.
_INSERT: Final = """
INSERT INTO telemetry_measurement (sensor_id, measured_at, digest, received_at, revision, value)
SELECT sensor_id, measured_at, hashint8extended(i, sensor_id), measured_at + (20 + 20 * random()) * interval '1 ms', 0,
       jsonb_build_object(
           'temperature', trim_scale((21 + 4 * wave + random())::numeric(6, 2)),
           'humidity', trim_scale((45 + 10 * wave + 3 * random())::numeric(6, 1)),
           'voltage', trim_scale((229 + 2 * random())::numeric(6, 2)),
           'current', trim_scale((4 + wave + random())::numeric(6, 3)),
           'pressure', trim_scale((1012 + 6 * wave + random())::numeric(6, 2)))
FROM (
    SELECT i, (%(ids)s::bigint[])[1 + i %% %(sensors)s] AS sensor_id,
           to_timestamp(%(start_s)s + (i + 0.8 * %(sensors)s * random()) * %(step_s)s) AS measured_at,
           sin(i * %(step_s)s * 2 * pi() / 86400 + i %% %(sensors)s) AS wave
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i
) AS made
"""
_LATEST: Final = """
UPDATE sensors_sensorstate AS state SET
    last_seen_at = newest.received_at, latest_measured_at = newest.measured_at,
    latest_received_at = newest.received_at, latest_revision = newest.revision, latest_value = newest.value
FROM unnest(%s::bigint[]) AS sensor (id) CROSS JOIN LATERAL (
    SELECT * FROM telemetry_measurement AS measurement WHERE measurement.sensor_id = sensor.id
    ORDER BY measured_at DESC, digest DESC LIMIT 1
) AS newest
WHERE state.sensor_id = sensor.id
"""


@dataclass(frozen=True, slots=True)
class History:
    """An installation with stored measurements between two moments (Unix seconds)."""

    installation: Installation
    start_s: float
    ends_at_s: float


def with_history(bench: Bench, rows: int) -> History:
    """Return an installation with `rows` stored measurements, all long before those that the works send.

    Made once and kept until the bench ends. That with the most has a tenth more, of the sensor `probe` alone.
    """
    if rows not in bench.histories:
        installation = bench.keep(f"rows_{rows}")
        to_come_s = bench.options.runs * (bench.backlog(0, messages=bench.options.messages).span_s + 60)
        ends_at_s = time.time() - to_come_s - 3_600
        probe_rows = rows // 10 if rows == bench.options.rows else 0
        start_s = _fill(bench, installation, rows=rows, ends_at_s=ends_at_s, probe_rows=probe_rows)
        bench.histories[rows] = History(installation, start_s, ends_at_s)
    return bench.histories[rows]


def _fill(bench: Bench, installation: Installation, *, rows: int, ends_at_s: float, probe_rows: int) -> float:
    """Store `rows` measurements of all sensors up to `ends_at_s`; return their first moment (Unix seconds).

    Then do what a running installation has done by itself: vacuum, and rollups.
    """
    began_s = time.monotonic()
    start_s = ends_at_s - bench.options.days * 86_400.0
    moments = [datetime.fromtimestamp(moment, UTC).isoformat() for moment in (start_s, ends_at_s)]
    installation.run("tests.bench.setup", "months", *moments)
    for names, count in (([f"s-{number}" for number in range(installation.sensors)], rows), (["probe"], probe_rows)):
        ids = [installation.sensor_ids[name] for name in names]
        step_s = (ends_at_s - start_s) / (count + len(ids))
        values = {"ids": ids, "sensors": len(ids), "start_s": start_s, "step_s": step_s}
        _insert(bench, installation, values, count)
        with installation.connect() as connection:
            connection.execute(_LATEST.encode(), [ids])
    with installation.connect() as connection:
        connection.execute("VACUUM (ANALYZE) telemetry_measurement")
    filled_s = time.monotonic() - began_s
    for line in installation.follow("tests.bench.setup", "roll_up"):
        bench.say(f"    rolling up: {line}", at_most_every_s=30)
    rolled_s = time.monotonic() - began_s - filled_s
    bench.say(f"    {rows + probe_rows:,} rows stored in {filled_s:.0f} s, rolled up in {rolled_s:.0f} s")
    return start_s


def _insert(bench: Bench, installation: Installation, values: dict[str, Any], rows: int) -> None:
    firsts = range(0, rows, CHUNK_ROWS)
    chunks = [{**values, "first": first, "last": min(first + CHUNK_ROWS, rows) - 1} for first in firsts]

    def insert(chunk: dict[str, Any]) -> None:
        with installation.connect() as connection:
            connection.execute(_INSERT.encode(), chunk)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for number, _ in enumerate(pool.map(insert, chunks), 1):
            bench.say(f"    {min(rows, number * CHUNK_ROWS):,} of {rows:,} rows stored", at_most_every_s=15)
