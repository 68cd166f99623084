"""Tells live views what a batch stored; best effort, after the commit.

Mostly nobody looks, and while a backlog is drained nobody could follow. So what is done here for each message is
to count it; JSON is made of an entry when it goes out, by the sender's thread (`sensors.live`).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import msgspec

from fleet.ingest.result import BatchResult, NewEntries
from fleet.ingest.routes import Family
from fleet.ingest.transaction import entry_time
from sensors import live
from telemetry.payloads import Heartbeat, LogMessage, Measurement

# A heartbeat; also what the time, the revision and the names of any item take.
ITEM_BYTES: Final = 150

_encode: Final = msgspec.json.Encoder().encode
_encoded: Final = attrgetter("encoded")


def announce(result: BatchResult) -> None:
    """Send the new entries and the sensors that are up again to live views; never blocks."""
    if result.new:
        live.send_bulk(_Stored(result.new))
    if result.awakened:
        seen_us: dict[int, int] = {}
        for new in result.new:
            seen_us[new.sensor.id] = max(new.received_us, seen_us.get(new.sensor.id, 0))
        for sensor in result.awakened:
            last_seen_at = entry_time(seen_us[sensor.id])
            live.send_status(sensor.network, sensor.identifier, status="up", last_seen_at=last_seen_at)


def _time(microseconds: int) -> bytes:
    """Return microseconds since 1970 as JSON: a string of ISO 8601 in UTC."""
    return _encode(entry_time(microseconds))


# The entries of a message were received together.
_received_at: Final = lru_cache(maxsize=64)(_time)


class _Stored:
    """The new entries of one batch, as `live.Bulk` has it."""

    __slots__ = ("_new", "events", "size")

    def __init__(self, new: Sequence[NewEntries]) -> None:
        self._new = new
        self.events: dict[str, int] = {}
        for each in new:
            network = each.sensor.network
            self.events[network] = self.events.get(network, 0) + len(each.entries)
        self.size = ITEM_BYTES * sum(self.events.values())
        self.size += sum(map(len, map(_encoded, _entries_of(new, Family.MEASUREMENTS))))
        self.size += sum(
            len(entry.subject) + len(entry.details or "") for entry in _entries_of(new, Family.LOG_MESSAGES)
        )

    @classmethod
    def items(cls, bulks: Sequence["_Stored"], networks: Collection[str]) -> Iterator[live.Items]:
        """Return what `bulks` have of `networks`, each sensor's in order of arrival."""
        groups: dict[tuple[int, Family], list[NewEntries]] = {}
        for each in chain.from_iterable(bulk._new for bulk in bulks):
            sensor = each.sensor
            if sensor.network in networks:
                groups.setdefault((sensor.id, each.family), []).append(each)
        share = sum(bulk.size for bulk in bulks) // max(1, sum(sum(bulk.events.values()) for bulk in bulks))
        for (_, family), group in groups.items():
            sensor = group[0].sensor
            kind, encode = KINDS[family]
            entries = [(each.received_us, entry) for each in group for entry in each.entries]
            size = share * len(entries)
            yield live.Items(sensor.network, sensor.identifier, kind, entries, encode, size)


def _entries_of(new: Sequence[NewEntries], family: Family) -> Iterator[Any]:
    return chain.from_iterable([each.entries for each in new if each.family is family])


def _measurements(entries: Sequence[tuple[int, Measurement]]) -> list[bytes]:
    # The value is JSON already.
    return [
        b'{"measured_at":%b,"received_at":%b,"revision":%d,"value":%b}'
        % (_time(entry.measured_us), _received_at(received_us), entry.revision, entry.encoded)
        for received_us, entry in entries
    ]


def _heartbeats(entries: Sequence[tuple[int, Heartbeat]]) -> list[bytes]:
    return [
        b'{"measured_at":%b,"received_at":%b,"revision":%d,"success":%b}'
        % (
            _time(entry.measured_us),
            _received_at(received_us),
            entry.revision,
            b"true" if entry.success else b"false",
        )
        for received_us, entry in entries
    ]


def _log_messages(entries: Sequence[tuple[int, LogMessage]]) -> list[bytes]:
    return [
        b'{"measured_at":%b,"received_at":%b,"revision":%d,"severity":"%b","subject":%b,"details":%b}'
        % (
            _time(entry.measured_us),
            _received_at(received_us),
            entry.revision,
            entry.severity.encode(),
            _encode(entry.subject),
            _encode(entry.details),
        )
        for received_us, entry in entries
    ]


KINDS: Final[dict[Family, tuple[str, Callable[[Sequence[Any]], list[bytes]]]]] = {
    Family.HEARTBEATS: ("heartbeats", _heartbeats),
    Family.LOG_MESSAGES: ("log_messages", _log_messages),
    Family.MEASUREMENTS: ("measurements", _measurements),
}
