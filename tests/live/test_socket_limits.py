"""`/ws/live/`: what one client can take up: memory, places, and the handshakes of others."""

import contextlib
import select
import socket as sockets
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from fleet.live.limits import MAX_HANDSHAKES, Places
from fleet.live.requests import MAX_READ_BYTES
from sensors import live, services
from sensors.models import Role
from tests.live.conftest import make_user
from tests.live.web import AT, WebProcess, closed_with, log_in, open_socket
from tests.waiting import wait_until

# More than the system keeps between two ends of a connection on loopback.
FLOOD_BYTES = 8 * 1024 * 1024


def head(length: int, *, opcode: int = 1, final: bool = True) -> bytes:
    """Return the head of a client's frame whose payload has `length` bytes, masked with zeros."""
    return struct.pack("!BBQ4x", opcode | (0x80 if final else 0), 0x80 | 127, length)


class TestSizes:
    @pytest.mark.parametrize("length", [MAX_READ_BYTES + 1, 2**40])
    def test_a_frame_that_is_too_long_closes_by_its_head(self, web: WebProcess, make_world, length):
        with open_socket(web, make_world().viewer) as socket:
            socket.receive()
            # Nothing of what it announces ever comes.
            socket.connection.socket.sendall(head(length))
            assert closed_with(socket) == 1009

    def test_parts_of_a_message_count_together(self, web: WebProcess, make_world):
        with open_socket(web, make_world().viewer) as socket:
            socket.receive()
            part = MAX_READ_BYTES // 2
            socket.connection.socket.sendall(head(part, final=False) + b"x" * part)
            socket.connection.socket.sendall(head(part, opcode=0, final=False) + b"x" * part)
            assert socket.silent()
            socket.connection.socket.sendall(head(part, opcode=0, final=False))
            assert closed_with(socket) == 1009

    def test_the_neighbours_hear_on(self, web: WebProcess, make_world):
        world = make_world(1)
        with open_socket(web, world.viewer, networks=[world.slug]) as neighbour:
            neighbour.receive()
            with open_socket(web, world.viewer) as socket:
                socket.connection.socket.sendall(head(2**40))
                assert closed_with(socket) == 1009
            live.send_status(world.slug, world.names[0], status="up", last_seen_at=AT)
            assert neighbour.receive_kind("status")["sensor"] == world.names[0]


class TestPlaces:
    def test_a_user_has_so_many_and_others_have_theirs(self, own_web, make_world):
        web, world = own_web(LIVE_SOCKETS_PER_USER="2"), make_world(1)
        other = make_user()
        services.set_member(world.network, user=other, role=Role.VIEWER)
        with open_socket(web, world.viewer) as first, open_socket(web, world.viewer) as second:
            first.receive()
            second.receive()
            # By whichever token or session.
            with open_socket(web, world.viewer) as third:
                assert closed_with(third) == 4430
            session = log_in(world.viewer)
            with open_socket(web, session=session, origin=f"http://{web.host}") as third:
                assert closed_with(third) == 4430
            with open_socket(web, other) as socket:
                assert socket.receive()["type"] == "snapshot"
        wait_until(lambda: let_in(web, world.viewer), 10, "the places of the closed ones to be free")

    def test_a_place_is_given_back_whatever_happens(self):
        places = Places()
        with contextlib.suppress(ZeroDivisionError), places.place("ada", at_most=1) as there_is_one:
            assert there_is_one
            with places.place("ada", at_most=1) as another:
                assert not another
            raise ZeroDivisionError
        with places.place("ada", at_most=1) as there_is_one:
            assert there_is_one


def let_in(web: WebProcess, user: Any) -> bool:
    with open_socket(web, user) as socket, contextlib.suppress(Exception):
        return socket.receive()["type"] == "snapshot"
    return False


class TestHandshakes:
    """Before a caller is known, while the database does not say who it is."""

    def test_what_comes_with_a_handshake_is_not_taken_into_memory(self, web: WebProcess):
        with nobody_is_known(), knock(web) as client:
            assert poured(client, patience_s=1) < FLOOD_BYTES
        with open_socket(web, make_user()) as socket:
            assert socket.receive()["type"] == "snapshot"

    def test_it_would_be_on_a_server_whose_connection_is_not_found(self, own_web):
        web = own_web(application="tests.live.plain_asgi:application")
        with nobody_is_known(), knock(web) as client:
            assert poured(client, patience_s=10) >= FLOOD_BYTES

    def test_no_more_than_some_wait_at_a_time(self, web: WebProcess):
        with contextlib.ExitStack() as clients:
            with nobody_is_known():
                waiting = [clients.enter_context(knock(web)) for _ in range(MAX_HANDSHAKES + 1)]
                wait_until(lambda: len(answered(waiting)) == 1, 20, "one of them to be sent away")
                (refused,) = answered(waiting)
                wait_until(lambda: b"\x11\x97" in refused.recv(4096, sockets.MSG_PEEK), 10, "its close code, 4503")
            # The others were only late.
            wait_until(lambda: len(answered(waiting)) == len(waiting), 20, "the others to be answered")
            waiting.remove(refused)
            assert {client.recv(12) for client in waiting} == {b"HTTP/1.1 403"}


@contextlib.contextmanager
def nobody_is_known() -> Iterator[None]:
    """Let the question who a token's user is wait until the block ends."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE sensors_accesstoken IN ACCESS EXCLUSIVE MODE")
        yield


@contextlib.contextmanager
def knock(web: WebProcess) -> Iterator[sockets.socket]:
    """Yield a connection that has said all that a handshake takes, with a token that nobody has."""
    with sockets.create_connection(("127.0.0.1", web.port), timeout=10) as client:
        lines = [
            "GET /ws/live/ HTTP/1.1",
            f"Host: {web.host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Authorization: Bearer nobodys",
        ]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        yield client


def poured(client: sockets.socket, *, patience_s: float) -> int:
    """Return how many bytes a connection that knocked took until it took none for so long, or there were no more."""
    # What comes in one piece with the handshake is the server's own business.
    wait_until(is_asked_for, 10, "the handshake to be at the database")
    client.setblocking(False)
    taken = 0
    while taken < FLOOD_BYTES and select.select([], [client], [], patience_s)[1]:
        taken += client.send(bytes(64 * 1024))
    return taken


def is_asked_for() -> bool:
    """Return whether somebody's question waits for `nobody_is_known`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'sensors_accesstoken'::regclass AND NOT granted)"
        )
        return bool(cursor.fetchone()[0])


def answered(clients: list[sockets.socket]) -> list[sockets.socket]:
    """Return those that have something to read."""
    return select.select(clients, [], [], 0)[0]
