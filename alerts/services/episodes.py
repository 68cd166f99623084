"""From transitions to alert rows: a few statements for any number of episodes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.evaluation import Change, Transition
from alerts.models import Alert, AlertState, Resolution, Rule
from alerts.rendering import ALERT_RELATIONS, rule_snapshot
from alerts.services.announce import announce
from alerts.services.queue import moment
from alerts.services.transitions import record_new, record_transitions
from sensors.models import Network, Sensor

# An alert's value follows its sensor in steps: a row written for every sample of everything that fires would cost
# as much as the evaluation. Its transitions always carry the value of their own moment.
REFRESH_VALUE_EVERY: Final = timedelta(seconds=10)


# The columns of an alert that `Episode.load` takes.
LOADED: Final = """alert.id, alert.state, (extract(epoch FROM alert.started_at) * 1000000)::bigint,
    (extract(epoch FROM alert.fired_at) * 1000000)::bigint, alert.value, alert.backfilled, alert.updated_at"""


class Episode:
    """One alert in the making, or an open one that is moved on. Times in microseconds since 1970."""

    __slots__ = (
        "alert_id", "backfilled", "fired", "is_changed", "is_dropped", "resolved", "rule_id", "sensor_id", "started",
        "state", "updated_at", "value",
    )  # fmt: skip

    def __init__(self, rule_id: int, sensor_id: int) -> None:
        self.rule_id = rule_id
        self.sensor_id = sensor_id
        self.alert_id: int | None = None
        self.state: str = AlertState.PENDING
        self.started = 0
        self.fired: int | None = None
        self.resolved: int | None = None
        self.value: float | None = None
        self.backfilled = False
        self.updated_at: datetime | None = None
        self.is_changed = False
        self.is_dropped = False

    @classmethod
    def load(cls, columns: Sequence[Any]) -> "Episode":
        """Return the open episode that an alert's `LOADED` columns describe."""
        episode = cls(0, 0)
        episode.alert_id, episode.state, episode.started, episode.fired, *rest = columns
        episode.value, episode.backfilled, episode.updated_at = rest
        return episode

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.is_dropped or self.resolved is not None

    def apply(self, transition: Transition) -> None:
        """Move the episode by one transition."""
        change = transition.change
        self.is_changed = True
        self.started = transition.started
        self.value = transition.value
        if change is Change.DROPPED:
            self.is_dropped = True
        elif change is Change.RESOLVED:
            self.state, self.resolved = AlertState.RESOLVED, transition.at
        else:
            # Whether people could have known in time is decided by the sample that began it or made it fire.
            self.backfilled = transition.late
            if change is Change.FIRING:
                self.state, self.fired = AlertState.FIRING, transition.at

    def refresh(self, value: float | None, *, now: datetime) -> bool:
        """Take over a newer violating value if the alert was not written for a while; return whether it was.

        One that has ended in this evaluation keeps its last one.
        """
        if self.is_over or value == self.value or self.updated_at is None:
            return False
        if now - self.updated_at < REFRESH_VALUE_EVERY:
            return False
        self.value = value
        return True


_UPDATE_ALERTS: Final = """
UPDATE alerts_alert AS alert SET
    state = new.state, value = new.value, resolution = new.resolution, backfilled = new.backfilled,
    started_at = 'epoch'::timestamptz + new.started * interval '1 microsecond',
    fired_at = 'epoch'::timestamptz + new.fired * interval '1 microsecond',
    resolved_at = 'epoch'::timestamptz + new.resolved * interval '1 microsecond',
    updated_at = %s
FROM unnest(%s::bigint[], %s::text[], %s::double precision[], %s::bigint[], %s::bigint[], %s::bigint[],
            %s::text[], %s::boolean[])
     AS new (id, state, value, started, fired, resolved, resolution, backfilled)
-- An operator may have resolved it since it was read: their word stands.
WHERE alert.id = new.id AND alert.resolved_at IS NULL
RETURNING alert.id
"""


def store_episodes(cursor: Any, episodes: Sequence[Episode], *, now: datetime) -> None:
    """Write what became of `episodes`, with what is to be told of it; live views hear of it once it is committed.

    Ended ones first, so that there is never more than one open alert for a rule and sensor.
    """
    known = [episode for episode in episodes if episode.alert_id is not None]
    dropped = [episode.alert_id for episode in known if episode.is_dropped and episode.alert_id is not None]
    drop_pending(dropped, now=now)
    moved = [episode for episode in known if not episode.is_dropped]
    if moved:
        record_transitions(_update(cursor, moved, now=now), now=now)
    made = [episode for episode in episodes if episode.alert_id is None and not episode.is_dropped]
    if made:
        record_new(_insert(made, now=now), now=now)


def drop_pending(alert_ids: Sequence[int], *, now: datetime, reason: Resolution = Resolution.CLEARED) -> None:
    """Delete alerts that never fired; live views hear of their end, and no row remains."""
    if not alert_ids:
        return
    ended = list(
        Alert.objects.filter(pk__in=alert_ids, state=AlertState.PENDING)
        .select_related(*ALERT_RELATIONS)
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    Alert.objects.filter(pk__in=[alert.pk for alert in ended]).delete()
    for alert in ended:
        alert.state, alert.resolved_at, alert.resolution = AlertState.RESOLVED, now, reason
    announce(ended, now=now)


def _update(cursor: Any, episodes: list[Episode], *, now: datetime) -> list[int]:
    """Update the open alerts by id; return the ids of those that made a transition."""
    written = sorted(episodes, key=lambda episode: episode.alert_id or 0)
    columns = [
        [episode.alert_id for episode in written],
        [str(episode.state) for episode in written],
        [episode.value for episode in written],
        [episode.started for episode in written],
        [episode.fired for episode in written],
        [episode.resolved for episode in written],
        [Resolution.CLEARED.value if episode.resolved is not None else "" for episode in written],
        [episode.backfilled for episode in written],
    ]
    cursor.execute(_UPDATE_ALERTS, [now, *columns])
    updated = {row[0] for row in cursor.fetchall()}
    return [
        episode.alert_id
        for episode in written
        if episode.is_changed and episode.alert_id is not None and episode.alert_id in updated
    ]


def _insert(episodes: list[Episode], *, now: datetime) -> list[Alert]:
    identifiers = dict(
        Sensor.objects.filter(pk__in={episode.sensor_id for episode in episodes}).values_list("pk", "identifier")
    )
    # The caller holds them against their editors.
    rules = Rule.objects.in_bulk({episode.rule_id for episode in episodes})
    networks = Network.objects.in_bulk({rule.network_id for rule in rules.values()})
    alerts = []
    for episode in episodes:
        rule = rules[episode.rule_id]
        alerts.append(
            Alert(
                network=networks[rule.network_id],
                rule=rule,
                rule_name=rule.name,
                rule_snapshot=rule_snapshot(rule),
                sensor_id=episode.sensor_id,
                sensor_identifier=identifiers[episode.sensor_id],
                state=episode.state,
                severity=rule.severity,
                value=episode.value,
                started_at=moment(episode.started),
                fired_at=_moment(episode.fired),
                resolved_at=_moment(episode.resolved),
                resolution=Resolution.CLEARED if episode.resolved is not None else "",
                backfilled=episode.backfilled,
                created_at=now,
                updated_at=now,
            )
        )
    return Alert.objects.bulk_create(alerts)


def _moment(microseconds_since_1970: int | None) -> datetime | None:
    return None if microseconds_since_1970 is None else moment(microseconds_since_1970)
