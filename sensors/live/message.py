"""What crosses Redis: one message a network and flush, from `sensors.live.sender` to `fleet.live.hub`. Pure.

A channel of Redis' publish and subscribe for each network; nobody's absence costs memory there, and a listener
that does not read is cut off by Redis (client-output-buffer-limit), which it notices.
"""

from functools import cache
from typing import Final

import msgspec
from django.conf import settings
from redis import ConnectionPool


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """One frame of a sensor ("" for none): its kind, how many events are in it, and its JSON text."""

    sensor: str
    kind: str
    events: int
    text: str

    @property
    def size(self) -> int:
        """Its length in characters, near enough to bytes for a bound."""
        return len(self.text)


class Message(msgspec.Struct):
    """Frames of one network in their order, numbered so that a listener knows what it missed.

    sender: the sending process. upto: events that it has numbered, this message's included: sent, dropped, or lost
    on the way; a listener whose own count is behind `upto - events - sum(dropped)` missed the difference.
    events: how many are in `frames`. dropped: how many were left out, by sensor ("" for the whole network).
    """

    network: str
    sender: str
    upto: int
    events: int = 0
    frames: list[Frame] = []
    dropped: dict[str, int] = {}


encode_message: Final = msgspec.msgpack.Encoder().encode
decode_message: Final = msgspec.msgpack.Decoder(Message).decode


def channel_of(network: str) -> str:
    """Return the name of the Redis channel of the network `network` (its slug)."""
    return f"{channel_prefix()}{network}"


@cache
def channel_prefix() -> str:
    """Return what the names of all of this installation's channels begin with."""
    # Channels are shared by all databases of one Redis.
    number = ConnectionPool.from_url(settings.REDIS_URL).connection_kwargs.get("db", 0)
    return f"fleet.live.{number}."
