"""What a batch changed."""

import msgspec

from fleet.ingest.routes import Family
from telemetry.storage import Row


class KnownSensor(msgspec.Struct, frozen=True):
    """What ingest needs to know of a sensor."""

    id: int
    identifier: str
    network_id: int
    network: str
    period_s: int


class NewEntries(msgspec.Struct, frozen=True):
    """Entries of one sensor that were really inserted and are no retained copies, in arrival order."""

    sensor: KnownSensor
    family: Family
    rows: list[Row]


class BatchResult(msgspec.Struct):
    """What a batch changed: for live views, for the hint to the evaluation, and for counts."""

    new: list[NewEntries] = []
    awakened: list[KnownSensor] = []
    lanes: set[int] = set()
    stored: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = {}

    def add(self, other: "BatchResult") -> None:
        """Take up what another piece of the same batch changed."""
        self.new += other.new
        self.awakened += other.awakened
        self.lanes |= other.lanes
        self.stored += other.stored
        self.duplicates += other.duplicates
        for reason, count in other.rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + count
