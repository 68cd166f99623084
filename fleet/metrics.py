"""`/metrics` for Prometheus: what the database says of the fleet, and what this process says of itself.

The bridges speak no HTTP: what they count comes with their ticks, so that any web process can answer for all of them.
Every metric has its row in docs/metrics.md.
"""

import hmac
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from alerts.models import Alert
from fleet.bridge_metrics import bridge_metrics, gauge
from fleet.ingest.status import retained_to_clear, revisions_to_publish, waiting_marks, waiting_samples, watermarks
from fleet.ticks import current_bridges, read_ticks
from sensors import queries
from sensors.errors import Invalid
from sensors.models import Sensor
from telemetry.models import RejectedMessage
from telemetry.queries.limits import time_limit

# Several Prometheus servers, or one that asks every second, cost one round of counting.
CACHE_S: Final = 5.0
# Below Prometheus' own default of 10 s.
COUNT_TIMEOUT_S: Final = 4.0
# Besides the bridges.
PARTS: Final = ("worker", "beat")


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
        self._counted: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; without a database only that it is away."""
        if time.monotonic() - self._counted_at > CACHE_S:
            try:
                with time_limit(COUNT_TIMEOUT_S):
                    self._counted = list(fleet_metrics(now=datetime.now(UTC)))
                self._counted_at = time.monotonic()
            except (DatabaseError, Invalid):
                yield gauge("fleet_database_up", "Whether the database answers in time.", value=0)
                return
        yield gauge("fleet_database_up", "Whether the database answers in time.", value=1)
        yield from self._counted


def fleet_metrics(*, now: datetime) -> Iterator[Metric]:
    """Yield what the database knows at `now`: its own counts, then what each bridge last said of its work."""
    by_status = queries.status_counts(Sensor.objects.all(), at=queries.judged_at(now))
    yield gauge("fleet_sensors", "Sensors by status.", ["status"], {(name,): n for name, n in by_status.items()})

    open_alerts = Alert.objects.filter(resolved_at__isnull=True).order_by().values_list("state", "severity")
    counted: dict[tuple[str, ...], float] = {
        (state, severity): n for state, severity, n in open_alerts.annotate(n=Count("pk"))
    }
    yield gauge("fleet_open_alerts", "Alerts that are not resolved.", ["state", "severity"], counted)

    rejected = RejectedMessage.objects.order_by().values_list("reason").annotate(n=Sum("count"))
    yield gauge(
        "fleet_rejected_messages",
        "Refused messages and entries that the rejected messages in the database stand for.",
        ["reason"],
        {(reason,): n for reason, n in rejected},
    )

    ticks = read_ticks()
    parts = [tick for tick in ticks if tick.name in PARTS] + current_bridges(ticks)
    yield gauge(
        "fleet_tick_age_seconds",
        "Time since a part of the service showed that it works.",
        ["part"],
        {(tick.name,): tick.age_s(now) for tick in parts},
    )
    yield gauge(
        "fleet_watermark_age_seconds",
        "How far behind the broker a shard's bridge is; sensors are judged up to there.",
        ["shard"],
        {(shard,): _age_s(at, now) for shard, at in watermarks().items()},
    )

    samples = waiting_samples()
    yield gauge("fleet_evaluation_samples", "Samples and log messages that wait for the rules.", value=samples.number)
    yield gauge(
        "fleet_evaluation_wait_seconds", "How long the oldest of them has waited.", value=_age_s(samples.oldest_at, now)
    )
    marks = waiting_marks()
    yield gauge("fleet_rollup_marks", "Hours of sensors that wait to be rolled up again.", value=marks.number)
    yield gauge(
        "fleet_rollup_wait_seconds", "How long the oldest of them has waited.", value=_age_s(marks.oldest_at, now)
    )
    yield gauge(
        "fleet_revisions_to_publish", "Revisions that the broker has not confirmed.", value=revisions_to_publish()
    )
    yield gauge("fleet_retained_to_clear", "Deleted sensors that the broker remembers.", value=retained_to_clear())
    yield from bridge_metrics(current_bridges(ticks))


def _age_s(at: datetime | None, now: datetime) -> float:
    return max(0.0, (now - at) / timedelta(seconds=1)) if at else 0.0


class _Everything(Collector):
    """The fleet's metrics, then those of this process."""

    def collect(self) -> Iterator[Any]:
        yield from _fleet.collect()
        yield from REGISTRY.collect()


_fleet: Final = FleetCollector()
# Not in the global registry: that one asks its collectors when they are registered, without a database.
_everything: Final = CollectorRegistry(auto_describe=False)
_everything.register(_Everything())
