"""Every read of revisions that is shown."""

from typing import Any

from django.db.models import Case, CharField, OuterRef, QuerySet, Subquery, Value, When

from config.models import Revision, RevisionState
from sensors.models import Sensor


def revisions_of(sensor: Sensor) -> QuerySet[Revision]:
    """Return the sensor's revisions with their authors, newest first."""
    return Revision.objects.filter(sensor=sensor).select_related("sensor", "created_by").order_by("-number")


def newest(sensor: Sensor) -> Revision | None:
    """Return the sensor's newest revision, or None while it has none."""
    return revisions_of(sensor).first()


def with_state(revisions: QuerySet[Revision]) -> QuerySet[Any]:
    """Return `revisions` with `state_text`, the same as `Revision.state` but in SQL."""
    return revisions.annotate(
        state_text=Case(
            When(acknowledged_at__isnull=False, then=Value(RevisionState.ACKNOWLEDGED.value)),
            When(failed_at__isnull=False, then=Value(RevisionState.FAILED.value)),
            When(superseded_at__isnull=False, then=Value(RevisionState.SUPERSEDED.value)),
            When(published_at__isnull=False, then=Value(RevisionState.PUBLISHED.value)),
            default=Value(RevisionState.PENDING.value),
            output_field=CharField(),
        )
    )


def with_configuration(sensors: QuerySet[Sensor]) -> QuerySet[Sensor]:
    """Return `sensors` with `latest_revision`, `acknowledged_revision` (numbers) and `configuration_state`.

    All are None for a sensor without revisions. Three look-ups by index a row, only for the rows that are read.
    """
    own = Revision.objects.filter(sensor=OuterRef("pk")).order_by("-number")
    return sensors.annotate(
        latest_revision=Subquery(own.values("number")[:1]),
        acknowledged_revision=Subquery(own.filter(acknowledged_at__isnull=False).values("number")[:1]),
        configuration_state=Subquery(with_state(own).values("state_text")[:1]),
    )
