"""Moments as people and programs write them."""

import re
from datetime import UTC, datetime
from typing import Final

_EXAMPLE: Final = "write it like 2026-03-01T12:00:00Z"
# "+00:00" arrives as " 00:00" from who did not encode the plus sign in a URL.
_LOST_PLUS: Final = re.compile(r"[Tt]\S+ \d\d:?\d\d$")


def parse_time(text: str) -> datetime:
    """Return the moment that `text` (ISO 8601 with Z or an offset) names, in UTC; ValueError says what is wrong.

    >>> parse_time("2026-03-01T14:00:00+02:00")
    datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if _LOST_PLUS.search(text) else text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:50]!r} is no time in ISO 8601; {_EXAMPLE}.") from error
    raise ValueError(f"{text[:50]!r} does not say its time zone; {_EXAMPLE} or with an offset like +02:00.")
