"""Logins that mosquitto refuses are seen: in the bridge's log, and in its tick, which /metrics reads."""

import ast
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fleet.mqtt.accounts import Login
from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.login_watch import LoginWatch
from fleet.stack.mosquitto import MosquittoServer
from sensors.broker.refusals import LINE_EVERY_S
from sensors.models import ServiceTick
from tests.bridges import BridgeProcess
from tests.docker.broker import Client
from tests.waiting import wait_until


def refused_logins() -> int:
    return int(ServiceTick.objects.get(name="bridge 0/1").detail["refused_logins"])


@pytest.mark.django_db(transaction=True)
def test_a_refused_login_is_counted_and_told_by_the_bridge(own_broker: MosquittoServer, tmp_path: Path) -> None:
    bridge = BridgeProcess(broker_url=own_broker.url, log=tmp_path / "bridge.log").start().wait_ready()
    try:
        assert refused_logins() == 0
        for number in range(3):
            client = Client(f"guesser-{number}", Login("s-1", f"guess-{number}"))
            assert client.connect(own_broker.port) == "Not authorized"
            client.close()
        sensor = Client("s-2", None)
        assert sensor.connect(own_broker.port) == "Success"
        sensor.close()
        wait_until(lambda: refused_logins() == 3, 20, "the tick to say so")
        text = bridge.text()
        (line,) = (line for line in text.splitlines() if "logins were refused at the broker" in line)
        assert ast.literal_eval(line.partition(" some=")[2]) == [{"address": "127.0.0.1"}]
        assert "guess-" not in text
    finally:
        bridge.stop()


def test_nobody_but_the_bridge_reads_the_brokers_log(own_broker: MosquittoServer) -> None:
    sensor = Client("s-1", None)
    assert sensor.connect(own_broker.port) == "Success"
    sensor.subscribe("#", "$SYS/#", "$SYS/broker/log/N", "$SYS/broker/version")
    address = BrokerAddress.from_url(own_broker.url)
    bridge = Client("fleet-publisher-x", Login(address.username, address.password))
    assert bridge.connect(own_broker.port) == "Success"
    bridge.subscribe("$SYS/broker/log/N", "configurations/s-1")
    wrong = Client("s-2", Login("s-2", "wrong"))
    assert wrong.connect(own_broker.port) == "Not authorized"
    wrong.close()
    # The control: the bridge has it, and the sensor has what came after it.
    while b"not authorised" not in bridge.take()[0][1]:
        pass
    bridge.publish("configurations/s-1", "last")
    topics = [topic for topic, _ in sensor.take_until("configurations/s-1")]
    assert "$SYS/broker/version" in topics
    assert not [topic for topic in topics if "log" in topic]
    sensor.close()
    bridge.close()


def watched(lines: list[str], *, host: str = "127.0.0.1", port: int = 1883) -> tuple[int, list[dict[str, str]]]:
    """Return how many logins were refused by these lines, and who is named for them."""
    watch = LoginWatch(BrokerAddress(host, port))
    with capture_logs() as told:
        for number, line in enumerate(lines):
            watch.take(f"1795304811: {line}".encode(), now_s=number / 1_000)
        watch.tell(now_s=LINE_EVERY_S * 2)
    return watch.total, [who for line in told for who in line["some"]]


REFUSED = "Client <unknown> disconnected, not authorised."


def opened(address: str, peer: int, port: int = 8883) -> str:
    return f"New connection from {address}:{peer} on port {port}."


def came_in(address: str, peer: int) -> str:
    return f"New client connected from {address}:{peer} as s-1 (p2, c1, k60, u's-1')."


def test_a_refusal_is_given_to_the_connection_by_which_nobody_came_in() -> None:
    lines = [opened("10.0.0.1", 1), opened("10.0.0.2", 2), came_in("10.0.0.1", 1), REFUSED]
    assert watched(lines) == (1, [{"address": "10.0.0.2"}])


def test_where_several_could_be_meant_it_is_given_to_who_came_last() -> None:
    lines = [opened("10.0.0.1", 1), *(opened("10.0.0.9", peer) for peer in range(5)), REFUSED, REFUSED]
    # The first is told at once, the second with the next line.
    assert watched(lines) == (2, [{"address": "10.0.0.9"}] * 2)


@pytest.mark.parametrize(
    "ended", ["Client <unknown> closed its connection.", "Client <unknown> disconnected due to protocol error."]
)
def test_probes_that_never_log_in_are_not_blamed_for_who_guesses(ended: str) -> None:
    idle = [opened("10.0.0.7", peer) for peer in range(20)]
    probes = [line for peer in range(30) for line in (opened("10.0.0.1", peer), ended)]
    assert watched([*idle, *probes, opened("10.6.6.6", 1), REFUSED]) == (1, [{"address": "10.6.6.6"}])


def test_a_broker_that_names_client_and_address_is_believed() -> None:
    line = "Client s-1 [10.0.0.2:2] disconnected: not authorised."
    assert watched([opened("10.0.0.1", 1), opened("10.0.0.2", 2), line]) == (
        1,
        [{"address": "10.0.0.2", "client_id": "s-1"}],
    )


def test_the_health_check_of_a_broker_elsewhere_means_nothing() -> None:
    check = [opened("127.0.0.1", 1, 1884), REFUSED]
    assert watched(check, host="mosquitto", port=1884) == (0, [])
    # The same from another port, from elsewhere, or at a broker of this machine, is a login.
    assert watched([opened("127.0.0.1", 1, 1883), REFUSED], host="mosquitto", port=1884)[0] == 1
    assert watched([opened("10.0.0.1", 1, 1884), REFUSED], host="mosquitto", port=1884)[0] == 1
    assert watched(check, host="127.0.0.1", port=1884)[0] == 1


def test_other_lines_and_nonsense_mean_nothing() -> None:
    for line in (
        "",
        "Client s-1 disconnected.",
        "Client <unknown> closed its connection.",
        "\x00\xff",
        "not authorised",
    ):
        assert watched([line]) == (0, [])
    assert watched([REFUSED]) == (1, [{}])


def test_a_flood_of_connections_is_not_remembered() -> None:
    watch = LoginWatch(BrokerAddress("127.0.0.1", 1883))
    for number in range(5_000):
        watch.take(opened("10.0.0.1", number).encode(), now_s=0.0)
    assert len(watch._open) == 1_000
    watch.take(opened("10.0.0.2", 1).encode(), now_s=61.0)
    assert list(watch._open) == [("10.0.0.2", "1")]
