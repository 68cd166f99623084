"""What a batch changed."""

from collections.abc import Sequence
from typing import Any

import msgspec

from config.services import RevisionChange
from fleet.ingest.routes import Family


class KnownSensor(msgspec.Struct, frozen=True):
    """What ingest needs to know of a sensor."""

    id: int
    identifier: str
    network_id: int
    network: str
    period_s: int


class NewEntries(msgspec.Struct, frozen=True):
    """Entries of one message, at least one, that were really inserted and are no retained copies.

    received_us: the bridge's time in microseconds since 1970.
    """

    sensor: KnownSensor
    family: Family
    received_us: int
    entries: Sequence[Any]


class BatchResult(msgspec.Struct):
    """What a batch changed: for live views, for the hint to the evaluation, and for counts."""

    new: list[NewEntries] = []
    answered: list[RevisionChange] = []
    awakened: list[KnownSensor] = []
    lanes: set[int] = set()
    stored: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = {}

    def add(self, other: "BatchResult") -> None:
        """Take up what another piece of the same batch changed."""
        self.new += other.new
        self.answered += other.answered
        self.awakened += other.awakened
        self.lanes |= other.lanes
        self.stored += other.stored
        self.duplicates += other.duplicates
        for reason, count in other.rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count
