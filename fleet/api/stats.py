"""Counts and rates over what the caller may see."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alerts.queries import open_alert_counts
from sensors import queries
from sensors.api.filters import refuse_unknown_parameters
from sensors.errors import Invalid
from sensors.models import Sensor
from telemetry.queries.limits import time_limit
from telemetry.queries.rejected import visible_rejected

# An hour of 1,000 measurements a second takes longer to count than anybody waits; the rate of a minute does not.
COUNT_TIMEOUT_S: Final = 1.0
# A count is shown again for so many times as long as it took, so that counting keeps a core busy for 2 % of the time
# at the most however often it is asked for: a small fleet's is always fresh, one that takes a second is a minute old.
_REST: Final = 50
MAX_AGE_S: Final = 60.0
# Different sets of networks whose counts are remembered.
_REMEMBERED: Final = 1_000

_COUNT: Final = """
SELECT COALESCE(sum(counted.number), 0)
FROM unnest(%s::bigint[]) AS listed (id)
CROSS JOIN LATERAL (
    SELECT count(*) AS number FROM telemetry_measurement WHERE sensor_id = listed.id AND measured_at >= %s
) AS counted
"""


class StatusCountsSerializer(serializers.Serializer):
    """Sensors by status."""

    total = serializers.IntegerField()
    new = serializers.IntegerField()
    up = serializers.IntegerField()
    late = serializers.IntegerField()
    down = serializers.IntegerField()


class AlertCountsSerializer(serializers.Serializer):
    """Open alerts by state, and those that fire by severity."""

    pending = serializers.IntegerField()
    firing = serializers.IntegerField()
    info = serializers.IntegerField()
    warning = serializers.IntegerField()
    critical = serializers.IntegerField()


class MeasurementCountsSerializer(serializers.Serializer):
    """Measurements by the sensors' clocks."""

    last_minute = serializers.IntegerField(allow_null=True)
    last_hour = serializers.IntegerField(allow_null=True, help_text="Null where counting them would take too long.")
    counted_at = serializers.DateTimeField(
        help_text=f"When they were counted: up to {MAX_AGE_S:.0f} s before `at` where counting takes long."
    )


class StatsSerializer(serializers.Serializer):
    """Counts and rates."""

    at = serializers.DateTimeField()
    judged_at = serializers.DateTimeField(
        help_text="Up to when silence is judged; earlier than `at` while a bridge is away or behind."
    )
    networks = serializers.IntegerField()
    gateways = serializers.IntegerField()
    sensors = StatusCountsSerializer()
    alerts = AlertCountsSerializer()
    measurements = MeasurementCountsSerializer()
    claims_waiting = serializers.IntegerField(help_text="Devices that wait to be admitted; see claims/.")
    rejected_last_day = serializers.IntegerField(help_text="Different rejected messages; see rejected-messages/.")


_EXAMPLE: Final = OpenApiExample(
    "A small plant",
    value={
        "at": "2026-03-01T12:00:00.000000Z",
        "judged_at": "2026-03-01T11:59:59.500000Z",
        "networks": 1,
        "gateways": 2,
        "sensors": {"total": 20, "new": 1, "up": 17, "late": 1, "down": 1},
        "alerts": {"pending": 0, "firing": 2, "info": 0, "warning": 1, "critical": 1},
        "measurements": {"last_minute": 340, "last_hour": 20412, "counted_at": "2026-03-01T12:00:00.000000Z"},
        "claims_waiting": 0,
        "rejected_last_day": 0,
    },
    response_only=True,
)


class StatsView(APIView):
    """Counts and rates over what the caller may see."""

    @extend_schema(summary="Counts and rates", operation_id="stats", responses=StatsSerializer, examples=[_EXAMPLE])
    def get(self, request: Request) -> Response:
        """Return them."""
        refuse_unknown_parameters(request, ())
        return Response(StatsSerializer(stats(request.user, now=timezone.now())).data)


def stats(user: queries.AnyUser, *, now: datetime) -> dict[str, Any]:
    """Return what `StatsSerializer` shows of the networks that `user` may see, judged at `now`."""
    judged_at = queries.judged_at(now)
    sensors = queries.visible_sensors(user)
    counts = queries.status_counts(sensors, at=judged_at)
    networks = tuple(queries.visible_networks(user).order_by("pk").values_list("pk", flat=True))
    return {
        "at": now,
        "judged_at": judged_at,
        "networks": len(networks),
        "gateways": queries.visible_gateways(user).count(),
        "sensors": {"total": sum(counts.values()), **counts},
        "alerts": open_alert_counts(user),
        "measurements": _remembered.counts(networks, lambda: _measured(sensors, now)),
        "claims_waiting": queries.waiting_claims(user),
        "rejected_last_day": visible_rejected(user, start=now - timedelta(days=1)).count(),
    }


class CountMemory:
    """Counts by the networks that they are of, each shown for as long as it took, times 50."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, ...], tuple[dict[str, Any], float]] = OrderedDict()
        self._lock = threading.Lock()

    def counts(self, networks: tuple[int, ...], count: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what is remembered of `networks`, else what `count` returns."""
        with self._lock:
            found = self._kept.get(networks)
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        began = time.monotonic()
        counted = count()
        ended = time.monotonic()
        with self._lock:
            self._kept[networks] = counted, ended + min(MAX_AGE_S, (ended - began) * _REST)
            self._kept.move_to_end(networks)
            while len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)
        return counted


_remembered: Final = CountMemory()


def _measured(sensors: QuerySet[Sensor], now: datetime) -> dict[str, Any]:
    return {
        "last_minute": _measured_since(sensors, now - timedelta(minutes=1)),
        "last_hour": _measured_since(sensors, now - timedelta(hours=1)),
        "counted_at": now,
    }


def _measured_since(sensors: QuerySet[Sensor], moment: datetime) -> int | None:
    """Return how many measurements the sensors took since `moment`; None where the count takes too long."""
    # Sensors whose newest measurement is older have none: a quiet fleet costs nothing.
    active = list(sensors.filter(state__latest_measured_at__gte=moment).order_by().values_list("pk", flat=True))
    if not active:
        return 0
    try:
        with time_limit(COUNT_TIMEOUT_S), connection.cursor() as cursor:
            cursor.execute(_COUNT, [active, moment])
            return int(cursor.fetchone()[0])
    except Invalid:
        return None
