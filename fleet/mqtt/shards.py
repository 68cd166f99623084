"""Which of several bridges stores what."""

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`; each sensor belongs to exactly one, by a hash that never changes."""

    index: int = 0
    count: int = 1

    @classmethod
    def from_text(cls, text: str) -> "Shard":
        """Return the shard written as I/N with 0 <= I < N; ValueError says what is wrong."""
        index, separator, count = text.partition("/")
        if not (separator and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ValueError(f"{text!r} is no shard: write I/N, as 0/2 and 1/2 for two bridges")
        return cls(int(index), int(count))

    def owns(self, topic: str) -> bool:
        """Return whether messages on `topic` are this shard's: by the last level, the sensor's identifier."""
        return self.count == 1 or zlib.crc32(topic.rpartition("/")[2].encode()) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def suffix(self) -> str:
        """Return the shard's part of MQTT client ids."""
        return f"{self.index}-of-{self.count}"
