"""Golden payloads, good and bad: the tests, the simulator's tests and docs/mqtt.md read the same files.

In both kinds `@now` stands for the current Unix time in seconds and `@later` for one ten minutes ahead.
"""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
FAMILIES = ("heartbeats", "log-messages", "measurements")


@dataclass(frozen=True)
class Golden:
    """One payload as text, how many of its entries are stored, and why the others are refused, in order."""

    family: str
    about: str
    text: str
    stored: int
    reasons: tuple[str, ...] = ()

    def payload(self, now_s: float) -> bytes:
        """Return the bytes to publish at `now_s` (Unix seconds)."""
        text = self.text.replace('"@now"', str(int(now_s))) if not self.reasons else self.text
        return text.replace("@now", str(int(now_s))).replace("@later", str(int(now_s) + 600)).encode()

    def __str__(self) -> str:
        return f"{self.family}: {self.about}"


def good() -> list[Golden]:
    """Return the payloads that are stored whole."""
    return [
        Golden(family, case["about"], json.dumps(case["payload"]), case["stored"])
        for family in FAMILIES
        for case in json.loads((FOLDER / f"{family}.good.json").read_text())
    ]


def bad() -> list[Golden]:
    """Return the payloads of which something is refused."""
    return [
        Golden(family, case["about"], case["text"], case["stored"], tuple(case["reasons"]))
        for family in FAMILIES
        for case in json.loads((FOLDER / f"{family}.bad.json").read_text())
    ]
