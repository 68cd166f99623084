"""How ingest and what follows it are: the one reading behind `/metrics`, `/readyz` and `/api/v1/ingest/`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import QuerySet, Sum

from alerts.models import EvaluationBatch, LogNote
from config.models import Revision
from sensors.models import SensorTombstone, Watermark
from telemetry.models import RollupMark

# Counting stops here: a backlog of millions must not cost seconds whenever somebody looks.
COUNTED_UP_TO: Final = 100_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits: how much, at most COUNTED_UP_TO rows of it, and since when the oldest does; None for nothing."""

    number: int
    oldest_at: datetime | None


def waiting_samples() -> Waiting:
    """Return what rules have not seen yet: samples of measurements, and log messages that they count."""
    rows = EvaluationBatch.objects.order_by("pk")[:COUNTED_UP_TO]
    logged = LogNote.objects.all()[:COUNTED_UP_TO].count()
    return Waiting((rows.aggregate(number=Sum("sample_count"))["number"] or 0) + logged, oldest_sample_at())


def oldest_sample_at() -> datetime | None:
    """Return since when the oldest sample, or log message, waits for the rules."""
    received_us = LogNote.objects.order_by("pk").values_list("received_us", flat=True).first()
    oldest = [_oldest(EvaluationBatch.objects.all())]
    if received_us is not None:
        oldest.append(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=received_us))
    return min((at for at in oldest if at is not None), default=None)


def waiting_marks() -> Waiting:
    """Return the hours of sensors that are to be rolled up again."""
    return Waiting(RollupMark.objects.all()[:COUNTED_UP_TO].count(), _oldest(RollupMark.objects.all()))


def revisions_to_publish() -> int:
    """Return how many revisions the broker has not confirmed."""
    return Revision.objects.filter(published_at__isnull=True, superseded_at__isnull=True).count()


def retained_to_clear() -> int:
    """Return how many deleted sensors the broker still remembers."""
    return SensorTombstone.objects.filter(cleared_at__isnull=True).count()


def watermarks() -> dict[str, datetime]:
    """Return by shard (I/N) up to when its bridge has stored everything that the broker had for it."""
    marks = Watermark.objects.filter(drained_until__isnull=False).values_list("shard", "drained_until")
    return {shard: at for shard, at in marks if at is not None}


def _oldest(rows: QuerySet[Any, Any]) -> datetime | None:
    # By primary key: the oldest row is the first one but for transactions that overlap, and needs no other index.
    oldest: datetime | None = rows.order_by("pk").values_list("created_at", flat=True).first()
    return oldest
