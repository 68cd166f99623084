"""How commands write what they print."""

from datetime import datetime


def time_text(at: datetime | None) -> str | None:
    """Return the moment as over HTTP, to the second; None for none."""
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")
