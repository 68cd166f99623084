"""Every write of revisions: made by people and programs, published by the bridge, answered by sensors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction

from config.models import Revision, RevisionState
from config.payloads import check_values
from sensors import live
from sensors.errors import Conflict, Invalid, NotFound
from sensors.models import Sensor, User
from sensors.wire import FlatValue, PayloadError, check_text

# The column's length.
MAX_COMMENT: Final = 500
# PostgreSQL wakes the bridge on this channel; the notice is a hint, the rows are the outbox.
OUTBOX_CHANNEL: Final = "fleet_outbox"


class RevisionConflict(Conflict):
    """Somebody made a revision since the caller looked. HTTP 409."""

    code = "revision_conflict"


@dataclass(frozen=True, slots=True)
class Answer:
    """One heartbeat's word on one revision."""

    sensor_id: int
    number: int
    success: bool


@dataclass(frozen=True, slots=True)
class RevisionChange:
    """A revision whose state became another one; network is the slug, sensor the identifier.

    answer_s: from the broker's confirmation to the sensor's answer, in seconds; None where the change is no answer.
    """

    revision_id: int
    sensor_id: int
    network: str
    sensor: str
    number: int
    state: RevisionState
    answer_s: float | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """A revision that the broker shall hold for its sensor (identifier)."""

    revision_id: int
    sensor: str
    number: int
    values: FlatValue


def create_revision(
    sensor: Sensor,
    *,
    values: object,
    comment: str = "",
    author: User | None,
    now: datetime,
    expected_revision: int | None = None,
) -> Revision:
    """Return the sensor's new revision, pending; the ones before it are superseded.

    Numbers are 0, 1, 2, … without gaps: writers of one sensor wait for each other. expected_revision: the newest
    number that the author knows, -1 for none; RevisionConflict if there is another one by now. Raises Invalid
    naming `configuration` or `comment`, NotFound for a sensor that was deleted meanwhile.
    """
    try:
        checked = check_values(values)
    except PayloadError as error:
        raise Invalid(f"{error.detail}.", field="configuration") from error
    _check_comment(comment)
    with transaction.atomic():
        # Locks the sensor against other revisions and deletion; ingest, which refers to it, does not wait.
        locked = (
            Sensor.objects.select_for_update(no_key=True, of=("self",))
            .select_related("network")
            .filter(pk=sensor.pk)
            .first()
        )
        if locked is None:
            raise NotFound(f"The sensor {sensor.identifier} was deleted.")
        newest = Revision.objects.filter(sensor=locked).order_by("-number").values_list("number", flat=True).first()
        newest = -1 if newest is None else newest
        if expected_revision is not None and expected_revision != newest:
            raise RevisionConflict(_conflict(expected_revision, newest))
        superseded = _supersede(locked, now=now)
        revision = Revision.objects.create(
            sensor=locked, number=newest + 1, values=checked, comment=comment, created_at=now, created_by=author
        )
        created = RevisionChange(
            revision.pk, locked.pk, locked.network.slug, locked.identifier, revision.number, revision.state
        )
        _announce([*superseded, created])
    return revision


def restore_revision(
    revision: Revision, *, author: User | None, now: datetime, comment: str = "", expected_revision: int | None = None
) -> Revision:
    """Return a new revision with the values of `revision`; its comment says where they are from by default."""
    return create_revision(
        revision.sensor,
        values=revision.values,
        comment=comment or f"Restored from revision {revision.number}",
        author=author,
        now=now,
        expected_revision=expected_revision,
    )


def mark_published(revision_ids: Iterable[int], *, now: datetime) -> list[RevisionChange]:
    """Record that the broker confirmed these revisions; return those whose state changed. Safe to repeat."""
    return _change(_MARK_PUBLISHED, {"ids": list(revision_ids), "now": now})


def record_acknowledgements(answers: Sequence[Answer], *, now: datetime) -> list[RevisionChange]:
    """Record the sensors' answers; return the revisions whose state changed by them.

    A success is final; a failure may still become a success (a bad boot, then a good one). Repeats and numbers
    that were never created change nothing. One statement, inside the caller's transaction if there is one.
    """
    if not answers:
        return []
    parameters = {
        "sensor_ids": [answer.sensor_id for answer in answers],
        "numbers": [answer.number for answer in answers],
        "successes": [answer.success for answer in answers],
        "now": now,
    }
    return _change(_RECORD_ANSWERS, parameters, answered_at=now)


def publish_again(sensors: Sequence[str] | None = None) -> int:
    """Put the newest revision of each sensor back into the outbox; return how many were.

    sensors: identifiers; None for all. For when a broker lost its retained messages; answers stay as they are.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PUBLISH_AGAIN, {"sensors": None if sensors is None else list(sensors)})
        count = cursor.rowcount
        cursor.execute("SELECT pg_notify(%s, '')", [OUTBOX_CHANNEL])
    return count


def due_publications(limit: int = 1_000, *, after: int = 0) -> list[Publication]:
    """Return the newest revisions that the broker has not confirmed, oldest first; of those with an id past `after`."""
    waiting = Revision.objects.filter(published_at__isnull=True, superseded_at__isnull=True, pk__gt=after)
    return _publications(waiting.order_by("pk")[:limit])


def all_current() -> list[Publication]:
    """Return the newest revision of every sensor, for publishing what the broker may have lost."""
    return _publications(Revision.objects.filter(superseded_at__isnull=True).order_by("pk"))


def publication_of(identifier: str) -> Publication | None:
    """Return what the broker shall hold for the sensor with this identifier; None: nothing."""
    current = _publications(Revision.objects.filter(sensor__identifier=identifier, superseded_at__isnull=True))
    return current[0] if current else None


def _publications(revisions: Any) -> list[Publication]:
    rows = revisions.values_list("pk", "sensor__identifier", "number", "values")
    return [Publication(*row) for row in rows]


def _supersede(sensor: Sensor, *, now: datetime) -> list[RevisionChange]:
    """Mark the sensor's revisions as superseded; return those whose state that changes."""
    older = list(
        Revision.objects.select_for_update(no_key=True).filter(sensor=sensor, superseded_at__isnull=True).order_by("pk")
    )
    changes = []
    for revision in older:
        before = revision.state
        revision.superseded_at = now
        revision.save(update_fields=["superseded_at"])
        if revision.state != before:
            changes.append(
                RevisionChange(
                    revision.pk, sensor.pk, sensor.network.slug, sensor.identifier, revision.number, revision.state
                )
            )
    return changes


def _check_comment(comment: str) -> None:
    if len(comment) > MAX_COMMENT:
        raise Invalid(f"A comment has at most {MAX_COMMENT} characters.", field="comment")
    try:
        check_text(comment, "comment")
    except PayloadError as error:
        raise Invalid(f"{error.detail}.", field="comment") from error


def _conflict(expected: int, newest: int) -> str:
    wanted = "no revision" if expected < 0 else f"revision {expected}"
    found = "there is none yet" if newest < 0 else f"the newest is revision {newest}"
    return f"You expected {wanted} to be the newest, but {found}. Look at it, then send yours again."


def _change(statement: str, parameters: dict[str, Any], *, answered_at: datetime | None = None) -> list[RevisionChange]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        changes = []
        for row in cursor.fetchall():
            revision_id, sensor_id, network, identifier, number = row[:5]
            superseded_at, published_at, acknowledged_at, failed_at = row[5:]
            state = Revision(
                superseded_at=superseded_at,
                published_at=published_at,
                acknowledged_at=acknowledged_at,
                failed_at=failed_at,
            ).state
            answer_s = None
            if answered_at is not None:
                # A quick sensor's answer may be stored before the broker's confirmation is.
                answer_s = max(0.0, (answered_at - published_at).total_seconds()) if published_at else 0.0
            changes.append(RevisionChange(revision_id, sensor_id, network, identifier, number, state, answer_s))
        _announce(changes)
    return changes


def _announce(changes: Sequence[RevisionChange]) -> None:
    if changes:
        transaction.on_commit(_sender(changes))


def _sender(changes: Sequence[RevisionChange]) -> Callable[[], None]:
    def send() -> None:
        for change in changes:
            live.send_configuration(change.network, change.sensor, revision=change.number, state=change.state.value)

    return send


# Each locks its rows by id before it writes them: the bridge's two sides would otherwise deadlock.
_MARK_PUBLISHED: Final = """
WITH target AS (
    SELECT id, sensor_id FROM config_revision
    WHERE id = ANY(%(ids)s) AND published_at IS NULL ORDER BY id FOR NO KEY UPDATE
)
UPDATE config_revision AS revision SET published_at = %(now)s
FROM target
JOIN sensors_sensor AS sensor ON sensor.id = target.sensor_id
JOIN sensors_network AS network ON network.id = sensor.network_id
WHERE revision.id = target.id
RETURNING revision.id, revision.sensor_id, network.slug, sensor.identifier, revision.number,
          revision.superseded_at, revision.published_at, revision.acknowledged_at, revision.failed_at
"""

_RECORD_ANSWERS: Final = """
WITH answer AS (
    SELECT sensor_id, number, bool_or(success) AS success
    FROM unnest(%(sensor_ids)s::bigint[], %(numbers)s::integer[], %(successes)s::boolean[])
         AS given (sensor_id, number, success)
    GROUP BY sensor_id, number
), target AS (
    SELECT old.id, old.sensor_id, answer.success
    FROM config_revision AS old JOIN answer ON answer.sensor_id = old.sensor_id AND answer.number = old.number
    WHERE old.acknowledged_at IS NULL AND (answer.success OR old.failed_at IS NULL)
    ORDER BY old.id FOR NO KEY UPDATE OF old
)
UPDATE config_revision AS revision SET
    acknowledged_at = CASE WHEN target.success THEN %(now)s::timestamptz END,
    failed_at = CASE WHEN target.success THEN revision.failed_at ELSE %(now)s::timestamptz END
FROM target
JOIN sensors_sensor AS sensor ON sensor.id = target.sensor_id
JOIN sensors_network AS network ON network.id = sensor.network_id
WHERE revision.id = target.id
RETURNING revision.id, revision.sensor_id, network.slug, sensor.identifier, revision.number,
          revision.superseded_at, revision.published_at, revision.acknowledged_at, revision.failed_at
"""

_PUBLISH_AGAIN: Final = """
WITH target AS (
    SELECT revision.id FROM config_revision AS revision
    JOIN sensors_sensor AS sensor ON sensor.id = revision.sensor_id
    WHERE revision.superseded_at IS NULL AND revision.published_at IS NOT NULL
      AND (%(sensors)s::text[] IS NULL OR sensor.identifier = ANY(%(sensors)s::text[]))
    ORDER BY revision.id FOR NO KEY UPDATE OF revision
)
UPDATE config_revision AS revision SET published_at = NULL FROM target WHERE revision.id = target.id
"""
