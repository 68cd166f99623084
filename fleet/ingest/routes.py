"""Which topics there are and what reads them; the one table behind subscriptions and parsing."""

import enum
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from django.conf import settings

from sensors.wire import PayloadError, Reason, is_identifier
from telemetry.payloads import Parsed, RefusedEntry, parse_heartbeats, parse_log_messages, parse_measurements


class Family(enum.StrEnum):
    """The first level of the topics that sensors write."""

    HEARTBEATS = "heartbeats"
    LOG_MESSAGES = "log-messages"
    MEASUREMENTS = "measurements"


def _parse_measurements(payload: bytes, *, now_s: float) -> Parsed[Any]:
    return parse_measurements(payload, now_s=now_s, max_attributes=settings.MAX_ATTRIBUTES_PER_MEASUREMENT)


PARSERS: Final[dict[Family, Callable[..., Parsed[Any]]]] = {
    Family.HEARTBEATS: parse_heartbeats,
    Family.LOG_MESSAGES: parse_log_messages,
    Family.MEASUREMENTS: _parse_measurements,
}
_FAMILIES: Final = {family.value: family for family in Family}

# With #, so that a topic with a level too many or too few is seen and kept as unknown_topic.
SUBSCRIPTIONS: Final = tuple(f"{family}/#" for family in Family)


class InboundMessage(msgspec.Struct, frozen=True):
    """One message as it came from the broker."""

    topic: str
    payload: bytes
    received_at: datetime
    # A copy that the broker kept for new subscribers: stored if new, but no sign of life.
    retained: bool = False
    # The broker sent it before and heard no acknowledgement: it may be stored already.
    redelivered: bool = False


class Part(msgspec.Struct, frozen=True):
    """What one message, or a piece of one, brings: entries of one family of one sensor."""

    message: InboundMessage
    family: Family | None
    identifier: str
    entries: Sequence[Any]
    refused: Sequence[RefusedEntry]
    # Set when the whole message is refused.
    error: PayloadError | None = None

    @property
    def oldest_us(self) -> int:
        """The time of the oldest of its entries, of which there must be one."""
        entries = self.entries
        return entries[0].measured_us if len(entries) == 1 else min([entry.measured_us for entry in entries])

    @property
    def newest_us(self) -> int:
        """The time of the newest of its entries, of which there must be one."""
        entries = self.entries
        return entries[0].measured_us if len(entries) == 1 else max([entry.measured_us for entry in entries])


def parse_message(message: InboundMessage) -> Part:
    """Return what `message` brings; never raises for what a sender can do wrong."""
    family, identifier = None, ""
    try:
        family, identifier = split_topic(message.topic)
        parsed = PARSERS[family](message.payload, now_s=message.received_at.timestamp())
    except PayloadError as error:
        return Part(message, family, identifier, (), (), error)
    return Part(message, family, identifier, parsed.entries, parsed.refused)


def split_topic(topic: str) -> tuple[Family, str]:
    """Return the family and the sensor's identifier; raise PayloadError for any other topic."""
    first, _, identifier = topic.partition("/")
    family = _FAMILIES.get(first)
    if family is None:
        raise PayloadError(Reason.UNKNOWN_TOPIC, f"topics begin with {', '.join(Family)}")
    if not is_identifier(identifier):
        raise PayloadError(
            Reason.UNKNOWN_TOPIC,
            f"the topic is {family}/<sensor>, the sensor being a letter or digit and up to 63 letters, digits, - or _",
        )
    return family, identifier
