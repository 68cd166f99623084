import socket

import pytest

from fleet.stack.errors import StackError
from fleet.stack.ports import LAST_SAFE_PORT, is_taken, next_free_port, random_free_port


@pytest.fixture
def listener() -> socket.socket:
    server = socket.create_server(("127.0.0.1", random_free_port()))
    yield server
    server.close()


def test_a_port_is_taken_while_somebody_listens(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert is_taken("127.0.0.1", port)
    assert is_taken("0.0.0.0", port)
    listener.close()
    assert not is_taken("127.0.0.1", port)


def test_a_port_with_ended_connections_is_free(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    served, _ = listener.accept()
    served.close()  # This side waits in TIME_WAIT.
    client.close()
    listener.close()
    assert not is_taken("127.0.0.1", port)


def test_the_next_free_port_skips_taken_and_avoided_ones(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    found = next_free_port("127.0.0.1", port, avoid=[port + 1])
    assert found > port + 1


def test_ports_are_outside_of_the_range_of_outgoing_connections() -> None:
    assert 20_000 <= random_free_port() <= LAST_SAFE_PORT < 32_768


def test_an_address_of_another_machine_is_an_error_with_advice() -> None:
    with pytest.raises(StackError, match="FLEET_HOST must be an address of this machine"):
        is_taken("192.0.2.1", 20_000)
