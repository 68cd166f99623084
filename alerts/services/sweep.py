"""The regular look at silence and missing answers. Costs what is overdue or has changed, not what exists."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.db import connection, transaction

from alerts.queries import Horizon, silence_horizon
from alerts.services.bridges import judge_bridges
from alerts.services.configurations import OPENED_PER_TRANSACTION as FAILURES_PER_TRANSACTION
from alerts.services.configurations import open_failures
from alerts.services.flapping import CALMED_PER_TRANSACTION, calm_alerts
from alerts.services.gateways import judge_gateways
from alerts.services.locks import try_sweep
from alerts.services.orphans import end_orphans
from alerts.services.scope_changes import CHANGES_PER_TRANSACTION, match_changes
from alerts.services.staleness import (
    JUDGED_PER_TRANSACTION,
    OPENED_PER_TRANSACTION,
    judge_due,
    open_waiting,
    recover_heard,
)
from sensors import live
from sensors.activity import sweep_overdue

STATUSES_PER_TRANSACTION: Final = 1_000
# 20,000 changes of status are told in one sweep; what is left is due in the next one, a second later.
STATUS_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did. is_busy: somebody else was sweeping, and nothing was looked at."""

    is_busy: bool = False
    matched: int = 0
    looked_at: int = 0
    silent: int = 0
    opened: int = 0
    resolved: int = 0
    statuses: int = 0


def sweep(*, now: datetime) -> Swept:
    """Judge all silence that is due at `now`: open and resolve alerts, tell live views of changed statuses.

    Silence is judged up to the bridges' watermark, never by `now` alone: while a bridge is away nobody becomes
    silent, and the bridge itself is what is alerted. Each step is a transaction that can be repeated; whoever finds
    another sweep at work leaves it to that one.
    """
    done = Swept()
    for step in (_judge_bridges, _match, _judge, _answers, _end_orphans):
        more = True
        while more:
            with transaction.atomic(), connection.cursor() as cursor:
                if not try_sweep(cursor):
                    return replace(done, is_busy=True)
                # Read under the lock and before the sensors' states: no sweep judges less far than the one before.
                done, more = step(done, silence_horizon(now), now=now)
    return replace(done, statuses=announce_statuses(silence_horizon(now)))


def announce_statuses(horizon: Horizon) -> int:
    """Tell live views who became late or down; return how many."""
    told = 0
    for _ in range(STATUS_ROUNDS):
        changes = sweep_overdue(at=horizon.judged_at, limit=STATUSES_PER_TRANSACTION)
        for change in changes:
            live.send_status(change.network, change.identifier, status=change.status, last_seen_at=change.last_seen_at)
        told += len(changes)
        if not changes:
            break
    return told


def _judge_bridges(done: Swept, _horizon: Horizon, *, now: datetime) -> tuple[Swept, bool]:
    opened, resolved = judge_bridges(now=now)
    return replace(done, opened=done.opened + opened, resolved=done.resolved + resolved), False


def _match(done: Swept, horizon: Horizon, *, now: datetime) -> tuple[Swept, bool]:
    matched, resolved = match_changes(horizon, now=now)
    done = replace(done, matched=done.matched + matched, resolved=done.resolved + resolved)
    return done, matched == CHANGES_PER_TRANSACTION


def _judge(done: Swept, horizon: Horizon, *, now: datetime) -> tuple[Swept, bool]:
    resolved = recover_heard(horizon, now=now)
    looked_at, silent = judge_due(horizon)
    done = replace(
        done,
        resolved=done.resolved + resolved,
        looked_at=done.looked_at + looked_at,
        silent=done.silent + silent,
    )
    if looked_at == JUDGED_PER_TRANSACTION:
        # A gateway is judged when all of its sensors were; until then nobody's own alert is opened.
        return done, True
    gateways = judge_gateways(horizon, now=now)
    opened = open_waiting(horizon, unjudged_gateways=gateways.unjudged, now=now)
    done = replace(done, opened=done.opened + gateways.opened + opened, resolved=done.resolved + gateways.resolved)
    return done, opened == OPENED_PER_TRANSACTION


def _answers(done: Swept, horizon: Horizon, *, now: datetime) -> tuple[Swept, bool]:
    looked_at, opened = open_failures(horizon, now=now)
    calmed = calm_alerts(horizon, now=now)
    is_more = looked_at == FAILURES_PER_TRANSACTION or calmed == CALMED_PER_TRANSACTION
    return replace(done, opened=done.opened + opened), is_more


def _end_orphans(done: Swept, _horizon: Horizon, *, now: datetime) -> tuple[Swept, bool]:
    return replace(done, resolved=done.resolved + end_orphans(now=now)), False
