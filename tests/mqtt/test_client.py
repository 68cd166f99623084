"""The client that takes in messages by the thousand: the cutting of its stream, and itself over the real broker."""

import os
import random
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.mqtt.address import BrokerAddress, with_address
from fleet.mqtt.client import BulkClient, MalformedPacketError, Publish, Stream, parse_publish
from tests.bridges import Client
from tests.waiting import wait_until


def packet(first: int, body: bytes) -> bytes:
    """Return the packet as MQTT 3.1.1, 2.2, writes it."""
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | 128 if rest else digit])
        if not rest:
            return bytes([first]) + length + body


# --- The stream ----------------------------------------------------------------------------------


@given(
    packets=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=400)), max_size=8),
    cuts=st.lists(st.integers(0, 3_500), max_size=12),
)
def test_packets_come_out_whole_wherever_the_stream_is_cut(packets: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(packet(*each) for each in packets)
    stream = Stream()
    found = []
    for start, end in pairwise(sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})):
        found += stream.feed(data[start:end])
    assert found == packets


@pytest.mark.parametrize("size", [127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_every_number_of_length_bytes_is_understood(size: int) -> None:
    assert Stream().feed(packet(0x30, bytes(size))) == [(0x30, bytes(size))]


def test_a_length_of_five_bytes_ends_the_stream() -> None:
    with pytest.raises(MalformedPacketError):
        Stream().feed(b"\x30\x80\x80\x80\x80\x01")


def test_a_publish_packet_is_read_by_its_flags() -> None:
    assert parse_publish(0x30, b"\0\3a/b{}") == Publish(b"a/b", b"{}", 0, False, False, 0)
    assert parse_publish(0x3B, b"\0\3a/b\1\2{}") == Publish(b"a/b", b"{}", 1, True, True, 258)
    assert parse_publish(0x32, b"\0\3a/b\0\7") == Publish(b"a/b", b"", 1, False, False, 7)


@pytest.mark.parametrize(
    ("first", "body"), [(0x30, b""), (0x30, b"\0\0x"), (0x30, b"\0\5a/b"), (0x32, b"\0\3a/b\1"), (0x36, b"\0\3a/b\0\1")]
)
def test_what_is_no_publish_packet_is_refused(first: int, body: bytes) -> None:
    with pytest.raises(MalformedPacketError):
        parse_publish(first, body)


# --- Over the broker -------------------------------------------------------------------------------


class Taker:
    """A BulkClient that keeps what it gets; `refuse` has it give up so many hand-overs."""

    def __init__(self, topic: str, client_id: str, *, refuse: int = 0) -> None:
        self.publishes: list[Publish] = []
        self.connections = 0
        self._refuse = refuse
        self._subscribed = threading.Event()
        self._topic = topic
        self.client = with_address(BulkClient(client_id), BrokerAddress.from_url(os.environ["MQTT_URL"]))
        self.client.on_publishes = self._take
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.loop_start()
        assert self._subscribed.wait(10)

    def numbers(self) -> list[int]:
        return [int(publish.payload) for publish in self.publishes if publish.payload != b"echo"]

    def close(self) -> None:
        """Disconnect once the broker has read all acknowledgements: it answers what was sent after them."""
        self.client.publish(self._topic.replace("#", "echo"), b"echo", qos=0)
        wait_until(lambda: self.publishes[-1].payload == b"echo", 10, "the echo")
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(self, client: BulkClient, *_: object) -> None:
        self.connections += 1
        client.subscribe(self._topic, 1)

    def _take(self, publishes: list[Publish]) -> bool:
        if self._refuse:
            self._refuse -= 1
            return False
        self.publishes += publishes
        return True


@pytest.fixture
def name() -> str:
    """Return a client id and first level of topics that nobody else uses."""
    return f"bulk-{random.getrandbits(48):x}"


def send(topic: str, numbers: range) -> None:
    client = Client(os.environ["MQTT_URL"])
    ids = {client.send(topic, str(number)) for number in numbers}
    wait_until(lambda: ids <= client.acknowledged, 30, "the broker's acknowledgements")
    client.close()


def test_a_flood_arrives_in_order_and_is_acknowledged_in_one_piece(name: str) -> None:
    taker = Taker(f"{name}/#", name)
    send(f"{name}/a", range(3_000))
    wait_until(lambda: len(taker.publishes) >= 1_000, 30, "the first thousand")
    acknowledged = 0

    def everything() -> bool:
        nonlocal acknowledged
        taken = taker.publishes[acknowledged:]
        taker.client.acknowledge([publish.packet_id for publish in taken])
        acknowledged += len(taken)
        return acknowledged == 3_000

    wait_until(everything, 30, "all of them")
    assert taker.numbers() == list(range(3_000))
    taker.close()

    again = Taker(f"{name}/#", name)
    send(f"{name}/a", range(9_000, 9_001))
    wait_until(lambda: again.publishes, 10, "the next message")
    assert again.numbers() == [9_000]
    again.close()


def test_what_was_not_acknowledged_comes_again_and_says_so(name: str) -> None:
    taker = Taker(f"{name}/#", name)
    send(f"{name}/a", range(10))
    wait_until(lambda: len(taker.publishes) == 10, 10, "all of them")
    assert not any(publish.dup for publish in taker.publishes)
    taker.client.acknowledge([publish.packet_id for publish in taker.publishes[:4]])
    taker.close()

    again = Taker(f"{name}/#", name)
    wait_until(lambda: len(again.publishes) == 6, 10, "the rest")
    assert again.numbers() == list(range(4, 10))
    assert all(publish.dup for publish in again.publishes)
    again.client.acknowledge([publish.packet_id for publish in again.publishes])
    again.close()


def test_what_could_not_be_taken_in_comes_again_on_a_new_connection(name: str) -> None:
    taker = Taker(f"{name}/#", name, refuse=1)
    send(f"{name}/a", range(5))
    wait_until(lambda: len(taker.publishes) >= 5, 20, "all of them")
    assert taker.numbers() == list(range(5))
    assert taker.connections == 2
    taker.client.acknowledge([publish.packet_id for publish in taker.publishes])
    taker.close()
