"""What the tests of rules about log messages are made of."""

from typing import Any

from django.db import transaction

from alerts.models import Rule
from alerts.services import LogEntry, create_rule, evaluate_logs, queue_log_entries
from alerts.services.log_notes import RANKS
from alerts.services.queue import microseconds
from sensors.models import Network, Sensor
from tests.alerts.making import at


def make_log_rule(network: Network, **options: Any) -> Rule:
    """Return a rule that fires at each error and ends after a minute without one."""
    return create_rule(network, name="Errors", kind="log_severity", author=None, **{"window_s": 60, **options})


def entry(sensor: Sensor, offset_s: float, *, severity: str = "error", late_s: float = 0) -> LogEntry:
    """Return a message measured `offset_s` after START and received `late_s` later."""
    received = microseconds(at(offset_s + late_s))
    return LogEntry(sensor.pk, microseconds(at(offset_s)), RANKS[severity], received)


def note(entries: list[LogEntry]) -> set[int]:
    """Let `entries` wait as ingest does: in a transaction."""
    with transaction.atomic():
        return queue_log_entries(entries)


def log(sensor: Sensor, *offsets_s: float, **options: Any) -> None:
    """Let the sensor log at these seconds after START."""
    note([entry(sensor, offset_s, **options) for offset_s in offsets_s])


def count(now_s: float) -> int:
    """Count everything that waits; return how many messages that were."""
    return evaluate_logs(clock=lambda: at(now_s))
