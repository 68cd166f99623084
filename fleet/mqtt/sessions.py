"""A shard's session at the broker: made before its bridge first runs, deleted when no bridge will."""

import threading
from collections.abc import Callable
from typing import Any, Final

from paho.mqtt import client as mqtt

from fleet.ingest.routes import SUBSCRIPTIONS
from fleet.mqtt.address import BrokerAddress, make_client
from fleet.mqtt.shards import Shard

# A broker that restarts is back by then, and paho has tried again.
BROKER_WAIT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.5


class BrokerUnavailableError(Exception):
    """The broker could not be reached, refused the login or a subscription; the text says which."""


def open_session(address: BrokerAddress, shard: Shard, *, check: Callable[[], None]) -> bool:
    """Let the broker queue for `shard` from now on; return whether it already had that session.

    What it delivers meanwhile is not acknowledged and so stays queued. `check` is called twice a second and may
    raise to give up. Raises BrokerUnavailableError.
    """
    topics = (*SUBSCRIPTIONS, shard.marker_topic)
    visit = _Visit(make_client(address, shard.receiver_id, persistent=True, manual_ack=True))

    def subscribe() -> None:
        visit.client.subscribe([(topic, 1) for topic in topics])

    def subscribed(_client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        refused = [topic for topic, reason in zip(topics, reasons, strict=False) if reason.is_failure]
        visit.end(f"it refuses a subscription to {', '.join(refused)}" if refused else "")

    visit.on_connected = subscribe
    visit.client.on_subscribe = subscribed
    visit.run(address, check)
    return visit.session_present


def delete_session(address: BrokerAddress, shard: Shard, *, check: Callable[[], None]) -> None:
    """Delete the session of `shard` with all that waits in it; the same when there is none.

    MQTT 3.1.1, 3.1.2.4: a connection with a clean session discards the one before it, and leaves none. Raises
    BrokerUnavailableError.
    """
    visit = _Visit(make_client(address, shard.receiver_id, persistent=False))
    visit.on_connected = lambda: visit.end("")
    visit.run(address, check)


class _Visit:
    """One short connection that ends when its business is done; reconnects by itself until then."""

    def __init__(self, client: mqtt.Client) -> None:
        self.client = client
        self.on_connected: Callable[[], None] = lambda: None
        self.session_present = False
        self._trouble = "no answer"
        self._ended = threading.Event()
        client.on_connect = self._connected

    def end(self, trouble: str) -> None:
        """Let `run` return, or fail with `trouble`."""
        self._trouble = trouble
        self._ended.set()

    def run(self, address: BrokerAddress, check: Callable[[], None]) -> None:
        waited_s = 0.0
        self.client.loop_start()
        try:
            while not self._ended.wait(LOOK_EVERY_S):
                check()
                waited_s += LOOK_EVERY_S
                if waited_s >= BROKER_WAIT_S:
                    break
        finally:
            self.client.disconnect()
            self.client.loop_stop()
        if self._trouble:
            raise BrokerUnavailableError(f"the broker {address}: {self._trouble}")

    def _connected(self, _client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.end(f"it refuses the login: {reason}")
            return
        # Of a connection that was lost again the first answer counts: later it is this visit's own session.
        self.session_present = self.session_present or bool(flags.session_present)
        self.on_connected()
