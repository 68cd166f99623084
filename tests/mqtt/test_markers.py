"""What a marker proves, and whom it gives away."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from fleet.ingest.batch import Drained
from fleet.ingest.routes import InboundMessage
from fleet.mqtt.inbox import Delivery
from fleet.mqtt.markers import OVERLAP_S, Marker, Origin, database_of, decode_marker, drained_by
from fleet.mqtt.shards import Shard
from sensors.database import limit_connections

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOW_S = NOW.timestamp()
OURS = Origin("1/5", NOW_S)


def delivered(payload: bytes) -> Delivery:
    return Delivery(InboundMessage(Shard().marker_topic, payload, NOW), packet_id=1, qos=1, epoch=1)


def test_a_marker_proves_that_the_queue_was_drained_up_to_its_sending() -> None:
    sent_at = NOW - timedelta(seconds=3)
    payload = OURS.marker(now=sent_at).encoded()
    marker = decode_marker(payload)

    assert marker == Marker(sent_at.timestamp(), "1/5", NOW_S)
    assert drained_by(marker, delivered(payload), Shard()) == Drained("0/1", sent_at)


def test_a_marker_from_the_future_proves_nothing_beyond_its_arrival() -> None:
    marker = Marker(NOW_S + 1e6)

    assert drained_by(marker, delivered(marker.encoded()), Shard()) == Drained("0/1", NOW)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"1763734000.5", b"{}", b'{"sent_s":"soon"}', b"[1]"])
def test_what_is_no_marker_is_none(payload: bytes) -> None:
    assert decode_marker(payload) is None


@pytest.mark.parametrize("sent_s", [1e300, -1e300])
def test_a_marker_of_no_time_proves_nothing(sent_s: float) -> None:
    marker = Marker(sent_s)

    assert drained_by(marker, delivered(marker.encoded()), Shard()) is None


@pytest.mark.parametrize(
    ("marker", "rival"),
    [
        (Marker(NOW_S + 60, "1/5", NOW_S - 60), False),  # the same database: a lock stands between them
        (Marker(NOW_S + 60), False),  # a re-sharding
        (Marker(NOW_S - 60, "2/5", NOW_S - 90), False),  # left in the queue by one that is no more
        (Marker(NOW_S + OVERLAP_S / 2, "2/5", NOW_S - 90), False),
        (Marker(NOW_S + 60, "2/5", NOW_S - 90), True),
        (Marker(NOW_S + 60, "1/6", NOW_S + 9), True),
    ],
)
def test_a_running_bridge_of_another_database_is_a_rival(marker: Marker, rival: bool) -> None:
    assert OURS.has_rival(marker) is rival


def test_the_younger_of_two_rivals_gives_way() -> None:
    theirs = Origin("2/5", NOW_S + 10)
    later = NOW + timedelta(seconds=60)

    assert theirs.gives_way_to(OURS.marker(now=later))
    assert not OURS.gives_way_to(theirs.marker(now=later))


@pytest.mark.django_db
def test_each_database_has_a_name_of_its_own() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
        (number,) = cursor.fetchone()

    cluster, _, own = database_of(connection.connection).partition("/")

    assert int(cluster) > 0
    assert own == str(number)


def test_limits_of_connections_leave_alone_what_the_address_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"options": "-c statement_timeout=5s -c search_path=fleet"}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)

    limit_connections(statement_s=30)
    once = options["options"]
    limit_connections(statement_s=30)

    assert once.startswith("-c statement_timeout=5s -c search_path=fleet -c idle_in_transaction_session_timeout=")
    assert once.count("statement_timeout") == 1
    assert options["options"] == once
