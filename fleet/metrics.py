"""`/metrics` for Prometheus: what the database says of the fleet, and what this process says of itself."""

import hmac
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import Count, Min, Sum
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from alerts.models import Alert, EvaluationBatch
from config.models import Revision
from sensors import queries
from sensors.errors import Invalid
from sensors.models import Sensor, SensorTombstone, ServiceTick, Watermark
from telemetry.models import RejectedMessage
from telemetry.queries.limits import time_limit

# Several Prometheus servers, or one that asks every second, cost one round of counting.
CACHE_S: Final = 5.0
# Below Prometheus' own default of 10 s.
COUNT_TIMEOUT_S: Final = 4.0


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer staff, and who shows METRICS_TOKEN as a bearer token; others 401."""
    if not _may_read(request):
        response = HttpResponse("Log in as staff, or send METRICS_TOKEN as a bearer token.\n", status=401)
        response.headers["WWW-Authenticate"] = 'Bearer realm="metrics"'
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        return response
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(_everything), content_type=content_type)


def _may_read(request: HttpRequest) -> bool:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        # In constant time, and of bytes: the header may hold anything.
        return hmac.compare_digest(secret.strip().encode(), settings.METRICS_TOKEN.encode())
    user = request.user
    return bool(user.is_active and user.is_staff)


class FleetCollector(Collector):
    """Counts over the whole fleet, remembered for CACHE_S."""

    def __init__(self) -> None:
        self._counted_at = float("-inf")
        self._counted: list[GaugeMetricFamily] = []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics; without a database only that it is away."""
        if time.monotonic() - self._counted_at > CACHE_S:
            try:
                with time_limit(COUNT_TIMEOUT_S):
                    self._counted = list(fleet_metrics(now=datetime.now(UTC)))
                self._counted_at = time.monotonic()
            except (DatabaseError, Invalid):
                yield _gauge("fleet_database_up", "Whether the database answers in time.", value=0)
                return
        yield _gauge("fleet_database_up", "Whether the database answers in time.", value=1)
        yield from self._counted


def fleet_metrics(*, now: datetime) -> Iterator[GaugeMetricFamily]:
    """Yield what the database knows at `now`."""
    by_status = queries.status_counts(Sensor.objects.all(), at=queries.judged_at(now))
    yield _gauge("fleet_sensors", "Sensors by status.", ["status"], {(name,): n for name, n in by_status.items()})

    open_alerts = Alert.objects.filter(resolved_at__isnull=True).order_by().values_list("state", "severity")
    counted = {(state, severity): n for state, severity, n in open_alerts.annotate(n=Count("pk"))}
    yield _gauge("fleet_open_alerts", "Alerts that are not resolved.", ["state", "severity"], counted)

    rejected = RejectedMessage.objects.order_by().values_list("reason").annotate(n=Sum("count"))
    yield _gauge(
        "fleet_rejected_messages",
        "Messages and entries that were refused and are kept, by reason.",
        ["reason"],
        {(reason,): n for reason, n in rejected},
    )

    ticks = {tick.name: tick for tick in ServiceTick.objects.all()}
    yield _gauge(
        "fleet_tick_age_seconds",
        "Time since a part of the service showed that it works.",
        ["part"],
        {(name,): _age_s(tick.at, now) for name, tick in ticks.items()},
    )
    bridges = {name.removeprefix("bridge "): tick for name, tick in ticks.items() if name.startswith("bridge ")}
    for key, name, text in _BRIDGE_DETAILS:
        values = {
            (shard,): float(tick.detail[key]) for shard, tick in bridges.items() if _is_number(tick.detail.get(key))
        }
        yield _gauge(name, text, ["shard"], values)
    marks = Watermark.objects.filter(drained_until__isnull=False).values_list("shard", "drained_until")
    yield _gauge(
        "fleet_watermark_age_seconds",
        "How far behind the broker a shard's bridge is; sensors are judged up to there.",
        ["shard"],
        {(shard,): _age_s(at, now) for shard, at in marks if at is not None},
    )

    waiting = EvaluationBatch.objects.aggregate(number=Sum("sample_count"), oldest=Min("created_at"))
    yield _gauge("fleet_evaluation_samples", "Samples that wait for the rules.", value=waiting["number"] or 0)
    yield _gauge(
        "fleet_evaluation_wait_seconds",
        "For how long the oldest of them has waited.",
        value=_age_s(waiting["oldest"], now) if waiting["oldest"] else 0,
    )
    outbox = Revision.objects.filter(published_at__isnull=True, superseded_at__isnull=True)
    yield _gauge("fleet_revisions_to_publish", "Revisions that the broker has not confirmed.", value=outbox.count())
    tombstones = SensorTombstone.objects.filter(cleared_at__isnull=True)
    yield _gauge(
        "fleet_retained_to_clear", "Deleted sensors that the broker still remembers.", value=tombstones.count()
    )


# Key of the bridge's tick, metric, help.
_BRIDGE_DETAILS: Final = (
    ("connected", "fleet_bridge_connected", "Whether the bridge is connected to the broker."),
    ("queue", "fleet_bridge_queue_messages", "Messages that wait in the bridge for its writer."),
    ("stored", "fleet_bridge_stored_entries", "Entries stored since the bridge started."),
    ("broker_dropped", "fleet_broker_dropped_messages", "Messages that the broker says it dropped: a loss."),
    ("callback_failures", "fleet_bridge_callback_failures", "Failures in the bridge's receiver since it started."),
    ("lost_hints", "fleet_bridge_lost_hints", "Hints to the worker that were dropped; costs a delay only."),
)


def _gauge(
    name: str,
    text: str,
    labels: list[str] | None = None,
    values: Mapping[Any, float] | None = None,
    *,
    value: float | None = None,
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=labels or [])
    if value is not None:
        gauge.add_metric([], value)
    for label_values, number in (values or {}).items():
        gauge.add_metric(label_values, number)
    return gauge


def _age_s(at: datetime, now: datetime) -> float:
    return max(0.0, (now - at) / timedelta(seconds=1))


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


class _Everything(Collector):
    """The fleet's metrics, then those of this process."""

    def collect(self) -> Iterator[Any]:
        yield from _fleet.collect()
        yield from REGISTRY.collect()


_fleet: Final = FleetCollector()
# Not in the global registry: that one asks its collectors when they are registered, without a database.
_everything: Final = CollectorRegistry(auto_describe=False)
_everything.register(_Everything())
