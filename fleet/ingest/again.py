"""Takes rejected messages in again, once the cause is mended.

Each kept row goes the way of every message (`ingest_batch`), as a retained copy that was received when it first came:
it is stored, and is no sign of life, no sample for rules, no answer to a revision. A row goes only after the commit
that stored what it holds, so this may be killed anywhere and repeated: what is stored already changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Collate, Length

from fleet.ingest.batch import ingest_batch
from fleet.ingest.routes import Family, InboundMessage, parse_message
from sensors.database import driver_cursor
from sensors.errors import Conflict, NotFound
from sensors.models import Sensor
from sensors.wire import Reason
from telemetry.models import RejectedMessage
from telemetry.rejected import (
    KEPT_BYTES,
    KEPT_DETAIL_CHARACTERS,
    Rejected,
    collecting_rejected,
    keep_rejected,
    storable_text,
)

# At most 12.8 MB of payloads, and a transaction of some 50 ms beside that of the bridge.
ROWS_PER_BATCH: Final = 200


@dataclass(slots=True)
class Report:
    """What became of the rows; with `dry_run`, what would as far as it can be known without storing."""

    dry_run: bool = False
    # Rows looked at: kept, with their whole payload, of no deleted sensor.
    rows: int = 0
    # Rows that went in and are gone.
    taken: int = 0
    # Entries that were stored, and those that were stored already.
    stored: int = 0
    duplicates: int = 0
    # Rows that stay, by their reason now.
    refused: Counter[str] = field(default_factory=Counter)
    # Entries of the taken rows that were refused and are now rows of their own.
    entries_refused: int = 0
    # Rows that stay because the same bytes came once more meanwhile.
    changed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"refused": dict(sorted(self.refused.items()))}


def reingestible(
    *,
    sensors: Sequence[str] = (),
    reasons: Sequence[Reason] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[RejectedMessage]:
    """Return the rejected messages that could be taken in again; what a deleted sensor left is not among them.

    sensors: identifiers, whether or not the sensor was known when the message came. since, until: `last_at` within.
    """
    rows = RejectedMessage.objects.filter(
        Q(sensor_id__isnull=True) | Exists(Sensor.objects.filter(pk=OuterRef("sensor_id"))),
        kept=True,
        payload_bytes=Length("payload"),
    )
    if sensors:
        rows = rows.filter(topic__in=[f"{family}/{sensor}" for sensor in sensors for family in Family])
    if reasons:
        rows = rows.filter(reason__in=reasons)
    if since is not None:
        rows = rows.filter(last_at__gte=since)
    if until is not None:
        rows = rows.filter(last_at__lt=until)
    return rows


def reingest(
    rows: QuerySet[RejectedMessage],
    *,
    now: datetime,
    dry_run: bool = False,
    progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Take `rows` (of `reingestible`) in again and return what became of them; `progress` is called after each batch.

    A row is deleted when all of it went in, or all but entries that are now rejected rows of their own; others stay,
    with what is wrong with them now. Raises django.db.DatabaseError when the database is away; then run it again.
    """
    report = Report(dry_run)
    for batch in _batches(rows):
        report.rows += len(batch)
        if dry_run:
            _try(batch, report)
        else:
            _take(batch, report, now=now)
        progress(report)
    return report


def reingest_one(number: int, *, now: datetime) -> Report:
    """Take the rejected message with the id `number` in again and return what came of it.

    Raises Conflict, in words for a person, when it stays, and NotFound when it is not there any more.
    """
    report = reingest(reingestible().filter(pk=number), now=now)
    if report.taken:
        return report
    row = RejectedMessage.objects.defer("payload").filter(pk=number).first()
    if row is None:
        raise NotFound(f"No rejected message {number} any more.")
    if report.refused:
        raise Conflict(f"Refused again as {row.reason}: {row.detail}")
    if report.changed:
        raise Conflict("The same came once more meanwhile; try again.")
    if not row.kept:
        raise Conflict("What this row counts was not kept.")
    if row.payload_bytes > KEPT_BYTES:
        raise Conflict(f"Only its first {KEPT_BYTES:,} of {row.payload_bytes:,} bytes were kept.")
    raise Conflict("Its sensor was deleted.")


def _batches(rows: QuerySet[RejectedMessage]) -> Iterator[list[RejectedMessage]]:
    """Yield `rows` in the order in which they came; those that are made meanwhile are not among them."""
    rows = rows.order_by("pk")
    last = rows.values_list("pk", flat=True).last()
    done = 0
    while last is not None and (batch := list(rows.filter(pk__gt=done, pk__lte=last)[:ROWS_PER_BATCH])):
        yield batch
        done = batch[-1].pk


def _message(row: RejectedMessage) -> InboundMessage:
    payload = bytes(row.payload)
    if not row.whole:
        # The array is named like its family, with an underscore.
        key = row.topic.partition("/")[0].replace("-", "_")
        payload = b'{"%s":[%s]}' % (key.encode(), payload)
    # It may be stored already, by a run that was killed before it deleted the row.
    return InboundMessage(row.topic, payload, row.first_at, retained=True, redelivered=True)


def _try(batch: Sequence[RejectedMessage], report: Report) -> None:
    parts = [parse_message(_message(row)) for row in batch]
    identifiers = {part.identifier for part in parts}
    known = set(Sensor.objects.filter(identifier__in=identifiers).values_list("identifier", flat=True))
    for row, part in zip(batch, parts, strict=True):
        if part.error is not None:
            report.refused[part.error.code] += 1
        elif part.identifier not in known:
            report.refused[Reason.UNKNOWN_SENSOR] += 1
        elif not row.whole and part.refused:
            report.refused[part.refused[0].reason] += 1
        else:
            report.taken += 1
            report.entries_refused += len(part.refused)


def _take(batch: Sequence[RejectedMessage], report: Report, *, now: datetime) -> None:
    messages = [_message(row) for row in batch]
    with collecting_rejected() as collected:
        result = ingest_batch(messages, now=now)
    report.stored += result.stored
    report.duplicates += result.duplicates
    refused = {(item.topic, item.payload): item for item in collected}
    causes: dict[int, Rejected] = {}
    own: set[tuple[str, bytes]] = set()
    for row, message in zip(batch, messages, strict=True):
        for key in _names(row, message):
            if key in refused:
                causes[row.pk] = refused[key]
                own.add(key)
    entries = [msgspec.structs.replace(item, whole=False) for key, item in refused.items() if key not in own]
    with transaction.atomic():
        if entries:
            # Without a limit: they are in the database already, within their message.
            with driver_cursor() as cursor:
                keep_rejected(cursor, entries, limit=None)
        unchanged = _lock_unchanged(batch)
        report.changed += len(batch) - len(unchanged)
        report.entries_refused += len(entries)
        gone = [row.pk for row in unchanged if row.pk not in causes]
        RejectedMessage.objects.filter(pk__in=gone).delete()
        report.taken += len(gone)
        for row in unchanged:
            if row.pk in causes:
                _keep(row, causes[row.pk])
                report.refused[row.reason] += 1


def _names(row: RejectedMessage, message: InboundMessage) -> Iterable[tuple[str, bytes]]:
    """Return the topic and payload under which `row` would be refused again."""
    if row.whole:
        return [(row.topic, message.payload)]
    # As it came, or as it is written once it was understood.
    part = parse_message(message)
    payloads = [message.payload, *(entry.raw for entry in part.refused), *(entry.as_json() for entry in part.entries)]
    return [(row.topic, payload) for payload in payloads]


def _lock_unchanged(batch: Sequence[RejectedMessage]) -> list[RejectedMessage]:
    """Lock the rows that nothing was added to since they were read, and return them."""
    # In the order in which bridges take them (telemetry/rejected.py), so that neither waits for the other in a circle.
    keys = {(row.topic, bytes(row.digest)): row for row in batch}
    found = RejectedMessage.objects.filter(pk__in=[row.pk for row in batch]).select_for_update()
    counts = dict(found.order_by(Collate("topic", "C"), "digest").values_list("pk", "count"))
    return [row for _, row in sorted(keys.items()) if counts.get(row.pk) == row.count]


def _keep(row: RejectedMessage, cause: Rejected) -> None:
    changes = {
        "reason": cause.reason.value,
        "detail": storable_text(cause.detail)[:KEPT_DETAIL_CHARACTERS],
        "sensor_id": cause.sensor_id,
    }
    if any(getattr(row, name) != value for name, value in changes.items()):
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=changes.keys())
