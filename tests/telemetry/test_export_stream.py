"""Exports from a real daphne: what happens to the connections when readers are slow, go away, or the database does."""

import http.client
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import connection

from sensors import services
from sensors.models import Role, User
from tests.live.web import WebProcess
from tests.telemetry.rows import T0, make_sensor
from tests.waiting import wait_until

ROWS = 60_000


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[SimpleNamespace]:
    """Return a daphne with two pooled connections, and a sensor with 30 MB of measurements and its viewer."""
    with django_db_blocker.unblock():
        sensor = make_sensor()
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO telemetry_measurement SELECT %s, '2019-01-01'::timestamptz + n * interval '1 second', n,"
                " %s, 0, jsonb_build_object('n', n, 'text', repeat('x', 400)) FROM generate_series(1, %s) n",
                [sensor.pk, T0, ROWS],
            )
        user = User.objects.create_user(f"viewer-{secrets.token_hex(5)}")
        services.set_member(sensor.network, user=user, role=Role.VIEWER)
        _, token = services.create_token(user, name="test", days=1)
        web = WebProcess(log=tmp_path_factory.mktemp("web") / "log", DATABASE_POOL_SIZE="2").start()
        yield SimpleNamespace(
            web=web,
            token=token,
            path=f"/api/v1/sensors/{sensor.identifier}/measurements/export/?format=ndjson",
        )
        web.stop()
        connection.close()


@pytest.fixture
def database(world: SimpleNamespace, committed: None, other: psycopg.Connection) -> psycopg.Connection:
    other.autocommit = True
    return other


def open_export(world: SimpleNamespace) -> socket.socket:
    """Return a connection on which an export has begun, of which nothing more is read."""
    reader = socket.create_connection(("127.0.0.1", world.web.port), timeout=20)
    request = f"GET {world.path} HTTP/1.1\r\nHost: {world.web.host}\r\nAuthorization: Bearer {world.token}\r\n\r\n"
    reader.sendall(request.encode())
    assert reader.recv(4_096).startswith(b"HTTP/1.1 200")
    return reader


def exports(database: psycopg.Connection) -> list[int]:
    """Return the processes of PostgreSQL that serve an export."""
    rows = database.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'FETCH%\"export\"'"
    )
    return [pid for (pid,) in rows.fetchall()]


def test_an_export_is_whole(world: SimpleNamespace, database: psycopg.Connection) -> None:
    client = http.client.HTTPConnection("127.0.0.1", world.web.port, timeout=60)
    client.request("GET", world.path, headers={"Authorization": f"Bearer {world.token}"})
    answer = client.getresponse()

    numbers = [json.loads(line)["value"]["n"] for line in answer]

    assert numbers == list(range(1, ROWS + 1))
    assert answer.headers["Transfer-Encoding"] == "chunked"
    wait_until(lambda: not exports(database), 5, "the export's connection to be closed")
    client.close()


def test_a_reader_who_pauses_or_goes_away_keeps_nothing(world: SimpleNamespace, database: psycopg.Connection) -> None:
    with closing(open_export(world)):
        # Held back, or all of its rows would be in daphne's memory by now and the connection closed.
        assert wait_until(lambda: exports(database), 10, "the export's connection")
        database.execute("SELECT pg_sleep(1.5)")
        assert exports(database)

    wait_until(lambda: not exports(database), 10, "the export's connection to be closed")


def test_more_exports_than_pooled_connections_leave_some_for_everybody(
    world: SimpleNamespace, database: psycopg.Connection
) -> None:
    readers = [open_export(world) for _ in range(3)]
    wait_until(lambda: len(exports(database)) == 3, 10, "three exports")

    for _ in range(3):
        status, _ = world.web.get("/api/v1/me/", Authorization=f"Bearer {world.token}")
        assert status == 200

    for reader in readers:
        reader.close()
    wait_until(lambda: not exports(database), 10, "the exports' connections to be closed")


def test_an_export_that_fails_is_no_complete_file_and_costs_no_connection(
    world: SimpleNamespace, database: psycopg.Connection
) -> None:
    # More often than there are pooled connections.
    for _ in range(4):
        with closing(open_export(world)) as reader:
            (pid,) = wait_until(lambda: exports(database), 10, "the export's connection")
            database.execute("SELECT pg_terminate_backend(%s)", [pid])

            with pytest.raises(ConnectionResetError):
                read_to_the_end(reader)
        wait_until(lambda: not exports(database), 10)

    status, _ = world.web.get("/api/v1/me/", Authorization=f"Bearer {world.token}")
    assert status == 200
    assert world.web.text().count("a stream broke off") == 4


def read_to_the_end(reader: socket.socket) -> None:
    data = b"-"
    while data:
        data = reader.recv(65_536)
        # The last chunk would say that the answer is complete.
        assert not data.endswith(b"\r\n0\r\n\r\n")
