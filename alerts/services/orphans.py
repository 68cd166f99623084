"""Open alerts whose subject is gone."""

from datetime import datetime
from typing import Final

from django.db.models import Q

from alerts.models import SUBJECT_IS_GONE, Alert, Resolution
from alerts.services.endings import end_alerts

# The first one that holds is the reason.
_ORPHANS: Final = (
    (Q(rule__isnull=True), Resolution.RULE_DELETED),
    (SUBJECT_IS_GONE & ~Q(gateway_identifier=""), Resolution.GATEWAY_DELETED),
    (SUBJECT_IS_GONE, Resolution.SENSOR_DELETED),
)


def end_orphans(*, now: datetime) -> int:
    """Resolve the open alerts of deleted sensors and gateways, and of rules deleted around `delete_rule`.

    Returns how many were resolved. Sensors are deleted by services that know nothing of alerts.
    """
    # The condition of the index `alert_orphaned`, which is nearly always empty.
    is_gone = Q(rule__isnull=True) | SUBJECT_IS_GONE
    if not Alert.objects.filter(is_gone, resolved_at__isnull=True).exists():
        return 0
    return sum(
        len(end_alerts(Alert.objects.filter(is_orphan), reason=reason, now=now)) for is_orphan, reason in _ORPHANS
    )
