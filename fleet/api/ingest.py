"""How ingest is, fleet-wide: what the page "Ingest" asks for every two seconds."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.health import judge
from fleet.ingest.meters import ANSWER_S
from fleet.ingest.recent import FIELDS, quantile
from fleet.ingest.status import (
    Waiting,
    retained_to_clear,
    revisions_to_publish,
    waiting_marks,
    waiting_samples,
    watermarks,
)
from fleet.ticks import Tick, current_bridges, read_ticks
from sensors.api.filters import refuse_unknown_parameters
from sensors.queries import sees_everything


class StaffOnly(BasePermission):
    """Lets staff in: these numbers count every network, which members of some may not see."""

    message = "How ingest is, is told over all networks at once, and so to staff only."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the caller is staff."""
        return bool(request.user and sees_everything(request.user))


class PartSerializer(serializers.Serializer):
    """One part of the service, as `/readyz` judges it."""

    fit = serializers.BooleanField()
    age_s = serializers.FloatField(required=False, help_text="Since its last sign of work.")
    detail = serializers.CharField(required=False, help_text="What is wrong, or how far behind it is.")


class WindowSerializer(serializers.Serializer):
    """What a bridge did within about the last minute: rates a second, times in seconds; null for none at all."""

    seconds = serializers.FloatField(help_text="How long the window is.")
    received = serializers.FloatField(allow_null=True, help_text="Messages a second.")
    stored = serializers.FloatField(allow_null=True, help_text="Entries a second.")
    duplicates = serializers.FloatField(allow_null=True, help_text="Entries a second that were stored already.")
    rejected = serializers.FloatField(allow_null=True, help_text="Messages and entries a second.")
    lag_p50 = serializers.FloatField(allow_null=True, help_text="From receiving a message to its commit.")
    lag_p99 = serializers.FloatField(allow_null=True)
    commit_p50 = serializers.FloatField(allow_null=True, help_text="From taking a batch up to its commit.")
    commit_p99 = serializers.FloatField(allow_null=True)


class ShardSerializer(serializers.Serializer):
    """One bridge. Counts are since it started; null is what it has not said."""

    shard = serializers.CharField(help_text="I/N.")
    ticked_at = serializers.DateTimeField(help_text="When it said all this; bridges do every two seconds.")
    started_at = serializers.DateTimeField(allow_null=True)
    connected = serializers.BooleanField(help_text="Whether it is connected to the broker.")
    refused_since = serializers.DateTimeField(
        allow_null=True, help_text="Since when the database refuses what it is to store."
    )
    drained_until = serializers.DateTimeField(
        allow_null=True, help_text="Up to when all that the broker had for it is stored."
    )
    received = serializers.IntegerField(allow_null=True, help_text="Messages.")
    received_bytes = serializers.IntegerField(allow_null=True)
    passed_over = serializers.IntegerField(allow_null=True, help_text="Messages that are for other shards.")
    messages = serializers.DictField(child=serializers.IntegerField(), help_text="Stored or refused, by family.")
    stored = serializers.IntegerField(allow_null=True, help_text="Entries.")
    duplicates = serializers.IntegerField(allow_null=True, help_text="Entries that were stored already.")
    rejected = serializers.DictField(child=serializers.IntegerField(), help_text="By reason.")
    failures = serializers.IntegerField(allow_null=True, help_text="Attempts that the database refused.")
    queue = serializers.IntegerField(allow_null=True, help_text="Messages that wait in the bridge.")
    queue_high_water = serializers.IntegerField(allow_null=True, help_text="The most within the last minute.")
    queue_limit = serializers.IntegerField(allow_null=True)
    broker_dropped = serializers.IntegerField(
        allow_null=True, help_text="The broker's own count of messages that it dropped, for whichever client."
    )
    window = WindowSerializer(allow_null=True)
    samples = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True)),
        help_text=f"The last five minutes in steps of ten seconds, oldest first: [{', '.join(FIELDS)}].",
    )


class WaitingSerializer(serializers.Serializer):
    """What waits, and since when its oldest does."""

    number = serializers.IntegerField()
    oldest_at = serializers.DateTimeField(allow_null=True)


class AnswersSerializer(serializers.Serializer):
    """How long sensors took to answer their revisions, since the bridges started; seconds."""

    number = serializers.IntegerField()
    p50 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)


class ConfigurationsSerializer(serializers.Serializer):
    """The way of configurations."""

    to_publish = serializers.IntegerField(help_text="Revisions that the broker has not confirmed.")
    to_clear = serializers.IntegerField(help_text="Deleted sensors that the broker remembers.")
    acknowledged = AnswersSerializer()
    failed = AnswersSerializer()


class IngestSerializer(serializers.Serializer):
    """How ingest is."""

    at = serializers.DateTimeField()
    parts = serializers.DictField(child=PartSerializer(), help_text="broker, bridge, worker, beat.")
    shards = ShardSerializer(many=True)
    evaluation = WaitingSerializer(help_text="Samples that wait for the rules.")
    rollups = WaitingSerializer(help_text="Hours of sensors that wait to be rolled up again.")
    configurations = ConfigurationsSerializer()


_AT: Final = "2026-03-01T12:00:00.000000Z"
_EXAMPLE: Final = OpenApiExample(
    "One bridge",
    value={
        "at": _AT,
        "parts": {
            "broker": {"fit": True},
            "bridge": {"fit": True, "age_s": 0.8},
            "worker": {"fit": True, "age_s": 0.3},
            "beat": {"fit": True, "age_s": 1.1},
        },
        "shards": [
            {
                "shard": "0/1",
                "ticked_at": "2026-03-01T11:59:59.200000Z",
                "started_at": "2026-03-01T06:00:00.000000Z",
                "connected": True,
                "refused_since": None,
                "drained_until": "2026-03-01T11:59:59.500000Z",
                "received": 432100,
                "received_bytes": 64815000,
                "passed_over": 0,
                "messages": {"heartbeats": 2100, "log-messages": 0, "measurements": 430000},
                "stored": 432050,
                "duplicates": 38,
                "rejected": {"schema": 12},
                "failures": 0,
                "queue": 0,
                "queue_high_water": 14,
                "queue_limit": 2000,
                "broker_dropped": 0,
                "window": {
                    "seconds": 62.0,
                    "received": 20.1,
                    "stored": 20.1,
                    "duplicates": 0.0,
                    "rejected": 0.0,
                    "lag_p50": 0.0071,
                    "lag_p99": 0.019,
                    "commit_p50": 0.0062,
                    "commit_p99": 0.0181,
                },
                "samples": [[1772366390.0, 20.0, 20.0, 3, 0.007, 0.019, 0.006, 0.018]],
            }
        ],
        "evaluation": {"number": 0, "oldest_at": None},
        "rollups": {"number": 2, "oldest_at": "2026-03-01T11:59:30.000000Z"},
        "configurations": {
            "to_publish": 0,
            "to_clear": 0,
            "acknowledged": {"number": 21, "p50": 0.08, "p99": 0.42},
            "failed": {"number": 0, "p50": None, "p99": None},
        },
    },
    response_only=True,
)


_REFUSED: Final = OpenApiResponse({"$ref": "#/components/schemas/Error"}, description="You are not staff.")


class IngestView(APIView):
    """How ingest is, fleet-wide; for staff."""

    permission_classes = [StaffOnly]

    @extend_schema(
        summary="How ingest is",
        description="What each bridge last said of its work, and what waits behind it, over all networks: for staff.",
        operation_id="ingest",
        responses={200: IngestSerializer, 403: _REFUSED},
        examples=[_EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        """Return it."""
        refuse_unknown_parameters(request, ())
        return Response(IngestSerializer(ingest(now=timezone.now())).data)


def ingest(*, now: datetime) -> dict[str, Any]:
    """Return what `IngestSerializer` shows, in as many queries however many bridges there are."""
    ticks = read_ticks()
    bridges = current_bridges(ticks)
    drained = watermarks()
    evaluation = waiting_samples()
    parts = judge(ticks, now=now, drained=drained, oldest_sample_at=evaluation.oldest_at)
    return {
        "at": now,
        "parts": {name: part.shown() for name, part in parts.items()},
        "shards": [_shard(tick, drained) for tick in bridges],
        "evaluation": _waiting(evaluation),
        "rollups": _waiting(waiting_marks()),
        "configurations": {
            "to_publish": revisions_to_publish(),
            "to_clear": retained_to_clear(),
            "acknowledged": _answers(bridges, "success"),
            "failed": _answers(bridges, "failure"),
        },
    }


# What a tick holds as it is shown.
_COUNTS: Final = (
    "received",
    "received_bytes",
    "passed_over",
    "stored",
    "duplicates",
    "failures",
    "queue",
    "queue_high_water",
    "queue_limit",
    "broker_dropped",
)


def _shard(tick: Tick, drained: Mapping[str, datetime]) -> dict[str, Any]:
    detail = tick.detail
    recent = detail.get("recent") or {}
    return {
        "shard": tick.shard,
        "ticked_at": tick.at,
        "started_at": _moment(tick.number("started_at")),
        "connected": bool(detail.get("connected")),
        "refused_since": _moment(tick.number("failing_since")),
        "drained_until": drained.get(tick.shard),
        **{key: detail.get(key) for key in _COUNTS},
        "messages": detail.get("messages") or {},
        "rejected": detail.get("rejected") or {},
        "window": recent.get("window"),
        "samples": recent.get("samples") or [],
    }


def _waiting(waiting: Waiting) -> dict[str, Any]:
    return {"number": waiting.number, "oldest_at": waiting.oldest_at}


def _answers(bridges: Iterable[Tick], outcome: str) -> dict[str, Any]:
    """Return the answers of all shards as one; a bridge of another release, with other buckets, is left out."""
    counts = [0] * (len(ANSWER_S) + 1)
    for tick in bridges:
        own: Sequence[int] = (tick.detail.get("answer_s") or {}).get(outcome, {}).get("counts", ())
        if len(own) == len(counts):
            counts = [one + other for one, other in zip(counts, own, strict=True)]
    return {
        "number": sum(counts),
        "p50": quantile(ANSWER_S, counts, 0.5),
        "p99": quantile(ANSWER_S, counts, 0.99),
    }


def _moment(at_s: float | None) -> datetime | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC)
