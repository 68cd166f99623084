"""Many rules over many sensors while they measure: whether the evaluation keeps up and raises the right alerts."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import psycopg

from tests.bench.bench import Bench
from tests.bench.installation import Installation, Running
from tests.bench.latency import whole_product
from tests.bench.processes import cpu_between, cpu_seconds
from tests.bench.queued import DRAIN_S, waiting_samples
from tests.bench.results import Row, Run, Target
from tests.bench.sightings import everything, viewing
from tests.bench.steady import START_S, publishing
from tests.bench.watched import Episode, Stream, WatchingRule, watching_rules

# Of what the options say, which are the scale of other works: 10,000 sensors, 1,000 messages/s, for a minute.
SENSORS_FACTOR: Final = 100
RATE_FACTOR: Final = 2
SECONDS_FACTOR: Final = 3
# Each sensor's first sample makes its rows; an excursion needs a healthy one before it and two after it.
_LEAST_ROUNDS: Final = 4
# The samples that are on their way when the clock stops are some thousandths of a minute's.
KEEPS_UP: Final = 0.99

# What is evaluated is deleted in the same transaction, as its last statement: the moment is taken from there, because
# looking at the queue from outside would be either a load or too seldom.
_NOTE: Final = """
CREATE TABLE bench_evaluated (stored_at timestamptz, evaluated_at timestamptz, samples integer);
CREATE FUNCTION bench_note_evaluated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bench_evaluated SELECT created_at, clock_timestamp(), sample_count FROM evaluated;
    RETURN NULL;
END $$;
CREATE TRIGGER bench_note AFTER DELETE ON alerts_evaluationbatch
    REFERENCING OLD TABLE AS evaluated FOR EACH STATEMENT EXECUTE FUNCTION bench_note_evaluated();
"""
_ALERTS: Final = """
SELECT alert.rule_name, alert.sensor_identifier,
       (extract(epoch FROM alert.fired_at) * 1000000)::bigint, (extract(epoch FROM alert.resolved_at) * 1000000)::bigint
FROM alerts_alert AS alert JOIN alerts_rule AS rule ON rule.id = alert.rule_id
WHERE rule.kind IN ('threshold', 'rate_of_change') AND alert.started_at >= %s
"""


class Part(NamedTuple):
    """Samples that were stored in one transaction and evaluated in one."""

    stored_at: datetime
    evaluated_at: datetime
    samples: int


def rules(bench: Bench) -> Iterator[Row]:
    """Each sensor under a hundred rules and more, all measuring in turns, some beyond their limits."""
    options = bench.options
    sensors, rate = options.sensors * SENSORS_FACTOR, options.rate * RATE_FACTOR
    seconds = options.seconds * SECONDS_FACTOR
    # The first round is not counted.
    rounds = max(_LEAST_ROUNDS, 1 + round(seconds * rate / sensors))
    watching = watching_rules(options.rules, sensors=sensors, interval_s=sensors / rate)
    pairs = sum(len(rule.sensors) for rule in watching)
    with bench.installation("rules", sensors=sensors) as installation:
        installation.run("tests.bench.setup", "rules", str(options.rules), str(sensors), str(sensors / rate))
        with installation.connect() as connection:
            connection.execute(_NOTE.encode())
            connection.execute("VACUUM (ANALYZE)")

        def once(run: int) -> dict[str, float]:
            with (
                whole_product(installation) as running,
                viewing(running, queries=everything(options.dashboards)),
            ):
                stream = Stream(sensors, rounds, rate, round((time.time() + START_S) * 1e6))
                found = _measure(running, stream, watching)
            bench.say(
                f"    {found['evaluated/s']:,.0f} of {found['stored/s']:,.0f} samples/s evaluated,"
                f" {found['most_waiting']:,.0f} waited at most; all {found['alerts']:,.0f} alerts are right"
            )
            return found

        runs = bench.repeat(once)
    what = f"{options.rules:,} rules over {sensors:,} sensors ({pairs:,} pairs) at {5 * rate:,.0f} values/s"
    beside = [Run(detail["evaluated/s"], detail["stored/s"], detail) for detail in runs]
    yield Row("rules", what, "samples/s", beside, "samples/s stored meanwhile", Target(KEEPS_UP, of_floor=True))
    delays = [Run(detail["delay_p99_ms"]) for detail in runs]
    yield Row("rules", "the same, from stored to evaluated, p99", "ms", delays, "", Target(3_000, 1_000, small=True))
    most = [Run(detail["most_waiting"]) for detail in runs]
    yield Row("rules", "the same, waiting at most", "samples", most)


def _measure(running: Running, stream: Stream, watching: Sequence[WatchingRule]) -> dict[str, float]:
    installation = running.installation
    since_s = stream.begins_at_us / 1e6 + stream.interval_s
    seconds = (stream.rounds - 1) * stream.interval_s
    numbers = [stream.sensors, stream.rounds, stream.rate, stream.begins_at_us]
    with installation.connect() as connection:
        connection.execute("TRUNCATE bench_evaluated")
        with publishing(installation, "stream", *numbers, since_s=since_s, seconds=seconds):
            before = cpu_seconds(running.pids())
        used = cpu_between(before, cpu_seconds(running.pids()))
        _await_all(installation, connection, stream)
        parts = [
            Part(*row)
            for row in connection.execute("SELECT stored_at, evaluated_at, samples FROM bench_evaluated").fetchall()
        ]
        evaluated = sum(part.samples for part in parts)
        if evaluated != stream.messages:
            raise RuntimeError(f"{evaluated} samples were evaluated of {stream.messages}")
        alerts = _compare(connection, stream, watching)
    since = datetime.fromtimestamp(since_s, UTC)
    return summed_up(parts, since, since + timedelta(seconds=seconds)) | {"alerts": alerts, **used}


def _await_all(installation: Installation, connection: psycopg.Connection[Any], stream: Stream) -> None:
    """Wait until all of the stream is stored and nothing waits for the rules."""
    times = [stream.measured_us(0), stream.measured_us(stream.messages - 1)]

    def is_stored() -> bool:
        row = connection.execute(
            "SELECT count(*) FROM telemetry_measurement WHERE measured_at"
            " BETWEEN 'epoch'::timestamptz + %s * interval '1 microsecond'"
            " AND 'epoch'::timestamptz + %s * interval '1 microsecond'",
            times,
        ).fetchone()
        return row is not None and row[0] == stream.messages

    installation.wait(is_stored, "all that was published")
    installation.wait(lambda: not waiting_samples(connection), "the evaluation", seconds=DRAIN_S)


def _compare(connection: psycopg.Connection[Any], stream: Stream, watching: Sequence[WatchingRule]) -> int:
    """Return how many alerts there are; RuntimeError unless they are those that must be, each at its moment."""
    since = datetime.fromtimestamp(stream.begins_at_us / 1e6, UTC)
    rows = [Episode(*row) for row in connection.execute(_ALERTS.encode(), [since]).fetchall()]
    found, expected = set(rows), stream.episodes(watching)
    if found != expected or len(rows) != len(expected):
        example = min(found ^ expected, default=None)
        raise RuntimeError(
            f"{len(rows)} alerts were raised and {len(expected)} must have been: {len(expected - found)} are missing,"
            f" {len(found - expected)} are wrong, for example {example}"
        )
    return len(rows)


def summed_up(parts: Sequence[Part], since: datetime, until: datetime) -> dict[str, float]:
    """Return rates from `since` until `until`, and delays and the most that waited of what was stored then."""
    seconds = (until - since).total_seconds()
    counted = [part for part in parts if since <= part.stored_at < until]
    delays = sorted(((part.evaluated_at - part.stored_at).total_seconds() * 1_000, part.samples) for part in counted)
    steps = sorted(
        step for part in counted for step in ((part.stored_at, part.samples), (part.evaluated_at, -part.samples))
    )
    waiting = most = 0
    for _, samples in steps:
        waiting += samples
        most = max(most, waiting)
    return {
        "evaluated/s": sum(part.samples for part in parts if since <= part.evaluated_at < until) / seconds,
        "stored/s": sum(part.samples for part in counted) / seconds,
        "delay_p50_ms": _weighted(delays, 0.5),
        "delay_p99_ms": _weighted(delays, 0.99),
        "delay_most_ms": delays[-1][0],
        "most_waiting": most,
        "evaluated_after_end_s": max(0.0, (max(part.evaluated_at for part in parts) - until).total_seconds()),
    }


def _weighted(values: Sequence[tuple[float, int]], share: float) -> float:
    """Return the value below which `share` of the weights lie. values: (value, weight), rising."""
    left = share * sum(weight for _, weight in values)
    for value, weight in values:
        left -= weight
        if left < 0:
            return value
    return values[-1][0]
