"""Why shards and no shared subscription (`$share`): what docs/scaling.md says of it, shown on the broker itself."""

import json
from urllib.parse import urlsplit

from paho.mqtt import client as paho

from fleet.stack.mosquitto import MosquittoServer
from tests.bridges import Client
from tests.waiting import wait_until

SENT = 200


class Member:
    """A member of a shared subscription with a persistent session that is slow to acknowledge."""

    def __init__(self, broker: MosquittoServer, name: str, *, clean: bool = False) -> None:
        parts = urlsplit(broker.url)
        self.numbers: list[int] = []
        self._granted = False
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, manual_ack=True
        )
        self._client.username_pw_set(parts.username, parts.password)
        self._client.on_message = lambda _client, _data, packet: self.numbers.append(json.loads(packet.payload)["n"])
        self._client.on_subscribe = lambda *_: setattr(self, "_granted", True)
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.loop_start()
        wait_until(self._client.is_connected)
        if not clean:
            self._client.subscribe([("$share/bridges/measurements/#", 1), ("fence", 1)])
            wait_until(lambda: self._granted)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_what_a_dead_member_of_a_shared_subscription_had_goes_to_nobody_else(own_broker: MosquittoServer) -> None:
    first, second = Member(own_broker, "first"), Member(own_broker, "second")
    client = Client(own_broker.url)
    for number in range(SENT):
        client.publish("measurements/s-1", {"n": number})
    wait_until(lambda: len(first.numbers) + len(second.numbers) == SENT, 10, "all to be delivered")
    # One sensor's messages went to both: two writers would store them in any order.
    assert min(len(first.numbers), len(second.numbers)) > 0

    first.leave()
    # Its session ends: it expires, or nobody ever starts that member again.
    Member(own_broker, "first", clean=True).leave()
    # What the broker would hand over to the other member comes before this.
    client.publish("fence", {"n": SENT})
    wait_until(lambda: SENT in second.numbers, 10, "the fence")
    second.leave()
    client.close()
    lost = set(range(SENT)) - set(second.numbers)
    # None was acknowledged by a member; every one was acknowledged to the sensor.
    assert lost == {number for number in first.numbers if number < SENT}
