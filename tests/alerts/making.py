"""What the tests of alerts are made of: a network with sensors, samples at given seconds, messages heard."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from alerts.models import Alert, EvaluationBatch, Notification, NotificationTarget, Rule
from alerts.services import (
    SampleBlock,
    create_rule,
    create_target,
    deliver_notifications,
    evaluate_waiting,
    queue_samples,
)
from alerts.services.notify import Delivered
from alerts.services.queue import decode_blocks, microseconds
from config.services import Answer, create_revision, record_acknowledgements
from sensors.models import Gateway, Network, Sensor, SensorState, User, Watermark
from sensors.services import create_gateway, create_network, create_sensor
from tests.together import at_once, beside

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Beyond the limit of `make_threshold`, and inside it.
HOT, COOL = 51.0, 1.0
_numbers = itertools.count(1)


def at(offset_s: float) -> datetime:
    """Return the moment `offset_s` seconds after START."""
    return START + timedelta(seconds=offset_s)


def offset(moment: datetime | None) -> float | None:
    """Return how many seconds after START `moment` is."""
    return None if moment is None else (moment - START).total_seconds()


def make_network(slug: str = "hall") -> Network:
    return create_network(slug=f"{slug}-{next(_numbers)}", owner=None)


def make_sensor(network: Network, name: str = "s", **options: Any) -> Sensor:
    return create_sensor(network, identifier=f"{name}-{next(_numbers)}", **options)


def make_gateway(network: Network) -> Gateway:
    return create_gateway(network, identifier=f"gateway-{next(_numbers)}")


def make_user(name: str = "ada") -> User:
    return User.objects.create_user(f"{name}-{next(_numbers)}")


def make_threshold(network: Network, **options: Any) -> Rule:
    """Return a rule that fires above 50."""
    fields: dict[str, Any] = {"name": "Hot", "attribute": "temperature", "above": 50.0, **options}
    return create_rule(network, kind="threshold", author=None, **fields)


def make_rate(network: Network, **options: Any) -> Rule:
    """Return a rule about how much the temperature changes a minute."""
    fields: dict[str, Any] = {"name": "Fast", "attribute": "temperature", **options}
    return create_rule(network, kind="rate_of_change", author=None, **fields)


def make_staleness(network: Network, **options: Any) -> Rule:
    return create_rule(network, name="Silent", kind="staleness", author=None, **options)


def make_gateway_rule(network: Network, **options: Any) -> Rule:
    return create_rule(network, name="Gateway silent", kind="gateway_silence", author=None, **options)


def make_bridge_rule(network: Network, **options: Any) -> Rule:
    return create_rule(network, name="Bridge away", kind="bridge_away", author=None, **options)


def revise(sensor: Sensor, values: dict[str, Any], *, answer: bool | None = True, now_s: float = 0) -> int:
    """Give the sensor a revision and let it answer (None: not yet); return its number."""
    number = create_revision(sensor, values=values, author=None, now=at(now_s)).number
    if answer is not None:
        record_acknowledgements([Answer(sensor.pk, number, answer)], now=at(now_s))
    return number


def make_target(network: Network, url: str, **options: Any) -> NotificationTarget:
    """Return a target with the defaults: told of everything, ten seconds after it happened."""
    fields: dict[str, Any] = {"name": f"target {next(_numbers)}", **options}
    return create_target(network, url=url, author=None, now=START, **fields)


def deliver(now_s: float) -> Delivered:
    """Deliver everything that is due `now_s` seconds after START."""
    return deliver_notifications(clock=lambda: at(now_s))


def told(**filters: Any) -> list[tuple[str, str, int]]:
    """Return the notifications as (event, state, attempts), oldest first."""
    rows = Notification.objects.filter(**filters).order_by("pk")
    return [(row.event, row.state, row.attempts) for row in rows]


@dataclass(frozen=True)
class Sample:
    """One measurement as rules see it."""

    sensor_id: int
    measured_at: datetime
    received_at: datetime
    values: dict[str, Any]


def sample(sensor: Sensor, offset_s: float, value: Any, *, late_s: float = 0, attribute: str = "temperature") -> Sample:
    """Return one value measured `offset_s` after START and received `late_s` later."""
    return Sample(sensor.pk, at(offset_s), at(offset_s + late_s), {attribute: value})


def store(samples: Iterable[Sample], *, now: datetime = START) -> set[int]:
    """Queue `samples` as ingest does: in a transaction, in one block."""
    samples = list(samples)
    names = {name for each in samples for name in each.values}
    block = SampleBlock(
        [each.sensor_id for each in samples],
        [microseconds(each.measured_at) for each in samples],
        [microseconds(each.received_at) for each in samples],
        {name: [each.values.get(name) for each in samples] for name in names},
    )
    with transaction.atomic():
        return queue_samples([block], now=now)


def waiting_times() -> dict[int, list[int]]:
    """Return by sensor when the samples were measured that wait, in the order in which they will be evaluated."""
    times: dict[int, list[int]] = {}
    for block in decode_blocks(EvaluationBatch.objects.order_by("id").values_list("samples", flat=True)):
        for sensor_id, measured in zip(block.sensor_ids, block.measured, strict=True):
            times.setdefault(sensor_id, []).append(measured)
    return times


def feed(sensor: Sensor, points: Iterable[tuple[float, Any]], *, now_s: float = 100_000, **options: Any) -> None:
    """Store the values of (offset_s, value) and evaluate everything that waits."""
    store([sample(sensor, offset_s, value, **options) for offset_s, value in points])
    evaluate(now_s)


def fire(sensor: Sensor, second: float, value: float = HOT) -> None:
    """Let the sensor be too hot for `make_threshold` from `second` on."""
    feed(sensor, [(second, value)], now_s=second)


def clear(sensor: Sensor, second: float) -> None:
    """Let the sensor be cool again."""
    feed(sensor, [(second, COOL)], now_s=second)


def evaluate(now_s: float = 100_000) -> int:
    """Evaluate everything that waits; return how many samples that were."""
    return evaluate_waiting(clock=lambda: at(now_s)).samples


def heard(sensor: Sensor, offset_s: float) -> None:
    """Let the sensor be heard at START + offset_s, as ingest records it."""
    SensorState.objects.filter(pk=sensor.pk).update(
        last_seen_at=at(offset_s), overdue_at=at(offset_s), announced_status="up"
    )


def drained(until_s: float, *, steady_s: float = -1_000_000, shard: str = "0/1") -> None:
    """Let the bridge of `shard` have stored everything up to `until_s`, without a break since `steady_s`."""
    Watermark.objects.update_or_create(
        shard=shard, defaults={"drained_until": at(until_s), "steady_since": at(steady_s)}
    )


def history(**filters: Any) -> list[tuple[Any, ...]]:
    """Return the alerts as (state, started, fired, resolved, resolution), times in seconds after START."""
    return [
        (alert.state, offset(alert.started_at), offset(alert.fired_at), offset(alert.resolved_at), alert.resolution)
        for alert in Alert.objects.filter(**filters).order_by("started_at", "pk")
    ]


@contextmanager
def held(work: Callable[[], Any], *, before: str) -> Iterator[Callable[[], None]]:
    """Run `work` beside the block, stopped before the first statement that begins so; yield what lets it go on.

    At the end of the block it goes on in any case.
    """
    is_there, go_on = threading.Event(), threading.Event()

    def stop(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.lstrip().startswith(before):
            is_there.set()
            go_on.wait(30)
        return execute(sql, *arguments)

    def run() -> None:
        with connection.execute_wrapper(stop):
            work()

    with beside(run):
        assert is_there.wait(30)
        try:
            yield go_on.set
        finally:
            go_on.set()


def run_at_once(work: Callable[[], Any], times: int) -> None:
    """Run `work` in so many threads that start together, each with a connection of its own; raise what they raise."""
    at_once(*[work] * times)
