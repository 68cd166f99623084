"""What waits to be sent to live views: bounded, coalescing, not yet encoded. Pure: no lock, no clock, no I/O."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, Protocol, Self

import msgspec

from sensors.live.message import Frame

# Kinds whose events are entries of a list; their frames carry `items` and grow while they wait.
ITEM_KINDS: Final = frozenset({"measurements", "heartbeats", "log_messages"})

# More entries of one kind from one sensor in one flush are a backlog being drained; pages refill over HTTP.
ITEMS_PER_FRAME: Final = 200
# What may wait while Redis is away: about a minute of 500 measurements a second.
BACKLOG_BYTES: Final = 8 * 1024 * 1024
# What waits in the form in which it came. Beyond it is coalesced at once, which keeps the newest of each sensor:
# 10,000 entries are what one flush of a bridge at full speed has.
UNSORTED_EVENTS: Final = 10_000
UNSORTED_BYTES: Final = 2 * 1024 * 1024

_encode_name: Final = msgspec.json.Encoder().encode


class Items(msgspec.Struct, gc=False):
    """Entries of one sensor, oldest first; `encode` makes JSON objects of them when it is known that somebody listens.

    size: about how many bytes they take, at least 1. dropped: how many more the caller left out.
    """

    network: str
    sensor: str
    kind: str
    entries: Sequence[Any]
    encode: Callable[[Sequence[Any]], Iterable[bytes]]
    size: int
    dropped: int = 0


class State(msgspec.Struct, gc=False):
    """What one thing is now; it replaces an earlier state with the same identity. text: the frame's JSON."""

    network: str
    sensor: str
    kind: str
    identity: object
    text: bytes


class Bulk(Protocol):
    """Many `Items`, made only when somebody listens: for who has many, and mostly nobody who listens."""

    @property
    def events(self) -> dict[str, int]:
        """How many entries there are, by network."""

    @property
    def size(self) -> int:
        """About how many bytes they take."""

    @classmethod
    def items(cls, bulks: Sequence[Self], networks: Collection[str]) -> Iterator[Items]:
        """Return what `bulks`, oldest first, have of `networks`: each sensor's together, oldest first."""


class Waiting(msgspec.Struct, gc=False):
    """One frame in the making: chunks of entries, or the one encoded state."""

    chunks: list[Items] = []
    state: bytes = b""
    events: int = 0
    size: int = 0


class Batch(msgspec.Struct):
    """What one network waits for: frames by sensor, kind and identity, the oldest first."""

    waiting: dict[tuple[str, str, object], Waiting] = {}
    dropped: dict[str, int] = {}

    def drop(self, sensor: str, events: int) -> None:
        """Count what is left out."""
        self.dropped[sensor] = self.dropped.get(sensor, 0) + events

    def trim(self, sensor: str, waiting: Waiting, *, keep: int) -> int:
        """Drop all but the newest `keep` entries of a frame; return the bytes that this freed."""
        # The oldest go: what a page shows first is the newest value.
        excess = waiting.events - keep
        if excess <= 0:
            return 0
        self.drop(sensor, excess)
        waiting.events = keep
        freed = gone = 0
        for chunk in waiting.chunks:
            count = len(chunk.entries)
            if count > excess:
                size = chunk.size * excess // count
                chunk.entries = chunk.entries[excess:]
                chunk.size -= size
                freed += size
                break
            excess -= count
            freed += chunk.size
            gone += 1
        del waiting.chunks[:gone]
        waiting.size -= freed
        return freed


class Backlog:
    """What waits, in the order in which it came, until it is coalesced into frames, one for each sensor and kind."""

    def __init__(self) -> None:
        # By network, how many events came in: what is coalesced or dropped counts as well.
        self.events: dict[str, int] = {}
        self.batches: dict[str, Batch] = {}
        self._unsorted: list[Items | State | Bulk] = []
        self._unsorted_events = self._unsorted_bytes = 0
        self._bytes = 0

    def put_items(self, items: Items) -> None:
        """Append entries; beyond ITEMS_PER_FRAME a sensor's oldest are dropped."""
        self._count(items.network, len(items.entries) + items.dropped)
        self._put(items, items.size)

    def put_state(self, state: State) -> None:
        """Append a state, instead of an earlier one about the same thing."""
        self._count(state.network, 1)
        self._put(state, len(state.text))

    def put_bulk(self, bulk: Bulk) -> None:
        """Append many entries at once."""
        for network, events in bulk.events.items():
            self._count(network, events)
        self._put(bulk, bulk.size)

    def sort(self, networks: Collection[str]) -> None:
        """Coalesce what came in for `networks` into `batches`; the rest is forgotten."""
        unsorted, self._unsorted = self._unsorted, []
        self._unsorted_events = self._unsorted_bytes = 0
        for kind, run in groupby(unsorted, type):
            pieces: list[Any] = list(run)
            if kind is Items:
                for items in pieces:
                    if items.network in networks:
                        self._sort_items(items)
            elif kind is State:
                for state in pieces:
                    if state.network in networks:
                        self._sort_state(state)
            elif heard := [bulk for bulk in pieces if not bulk.events.keys().isdisjoint(networks)]:
                # Together, because a sensor that is in ten of them costs little more than in one.
                for items in heard[0].items(heard, networks):
                    self._sort_items(items)
        self._shrink()

    def _count(self, network: str, events: int) -> None:
        self.events[network] = self.events.get(network, 0) + events
        self._unsorted_events += events

    def _put(self, piece: Items | State | Bulk, size: int) -> None:
        self._unsorted.append(piece)
        self._unsorted_bytes += size
        if self._unsorted_events > UNSORTED_EVENTS or self._unsorted_bytes > UNSORTED_BYTES:
            self.sort(self.events.keys())

    def _sort_items(self, items: Items) -> None:
        batch = self._batch(items.network)
        if items.dropped:
            batch.drop(items.sensor, items.dropped)
        if not items.entries:
            return
        key = (items.sensor, items.kind, None)
        waiting = batch.waiting.get(key)
        if waiting is None:
            waiting = batch.waiting[key] = Waiting()
        waiting.chunks.append(items)
        waiting.events += len(items.entries)
        waiting.size += items.size
        self._bytes += items.size
        if waiting.events > ITEMS_PER_FRAME:
            self._bytes -= batch.trim(items.sensor, waiting, keep=ITEMS_PER_FRAME)

    def _sort_state(self, state: State) -> None:
        batch = self._batch(state.network)
        key = (state.sensor, state.kind, state.identity)
        # An older state was never seen by anybody; this one takes a place at the end.
        older = batch.waiting.pop(key, None)
        if older is not None:
            self._bytes -= older.size
        batch.waiting[key] = Waiting(state=state.text, events=1, size=len(state.text))
        self._bytes += len(state.text)

    def _shrink(self) -> None:
        """Drop the oldest frames, network by network, until the backlog fits."""
        for batch in self.batches.values():
            for key in list(batch.waiting) if self._bytes > BACKLOG_BYTES else ():
                waiting = batch.waiting.pop(key)
                batch.drop(key[0], waiting.events)
                self._bytes -= waiting.size
                if self._bytes <= BACKLOG_BYTES:
                    return

    def _batch(self, network: str) -> Batch:
        batch = self.batches.get(network)
        if batch is None:
            batch = self.batches[network] = Batch()
        return batch


def frame_of(sensor: str, kind: str, waiting: Waiting) -> Frame:
    """Return the frame that goes out: a state as it is, or entries encoded and joined into their list."""
    if waiting.state:
        return Frame(sensor, kind, 1, waiting.state.decode())
    parts = [part for chunk in waiting.chunks for part in chunk.encode(chunk.entries)]
    head = b'{"type":"%b","sensor":%b,"items":[' % (kind.encode(), _encode_name(sensor))
    return Frame(sensor, kind, waiting.events, (head + b",".join(parts) + b"]}").decode())
