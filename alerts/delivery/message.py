"""The text of a message about alerts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

# What fits into the shortest messages of the services (1,000 characters) with links; all are counted.
LISTED: Final = 10
_SEVERITIES: Final = ("info", "warning", "critical")
# In the order in which they are counted and listed: what needs somebody first.
_WORDS: Final = {
    "escalation": "not acknowledged",
    "firing": "firing",
    "repeat": "still firing",
    "resolved": "resolved",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to tell of one alert. about: its sensor or gateway. silent: of a gateway, how many of its sensors."""

    alert_id: int
    event: str
    severity: str
    rule: str
    about: str
    value: float | None
    silent: int
    fired_at: datetime
    resolved_at: datetime | None
    resolution: str


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. level: info, warning or critical while something fires, else resolved."""

    title: str
    body: str
    level: str


def compose(entries: Sequence[Entry], *, network: str, public_url: str) -> Message:
    """Return the message about `entries` (at least one) of `network`.

    An alert of which the beginning and the end are told is listed once, as resolved. public_url: where browsers
    reach the service; without one there are no links.
    """
    ended = {entry.alert_id for entry in entries if entry.event == "resolved"}
    shown = [entry for entry in entries if entry.event == "resolved" or entry.alert_id not in ended]
    order = list(_WORDS)
    shown.sort(key=lambda entry: (order.index(entry.event), -_SEVERITIES.index(entry.severity), entry.alert_id))
    counts = [(sum(entry.event == event for entry in shown), word) for event, word in _WORDS.items()]
    title = f"{_line(network)}: {', '.join(f'{count} {word}' for count, word in counts if count)}"
    paragraphs = [_paragraph(entry, public_url) for entry in shown[:LISTED]]
    if len(shown) > LISTED:
        paragraphs.append(f"… and {len(shown) - LISTED} more" + (f": {public_url}/alerts/" if public_url else "."))
    burning = [entry.severity for entry in shown if entry.event != "resolved"]
    level = max(burning, key=_SEVERITIES.index) if burning else "resolved"
    return Message(title, "\n".join(paragraphs), level)


def compose_test(target: str, *, network: str) -> Message:
    """Return the message by which people try a target."""
    return Message(f"{_line(network)}: a test", f"This is how alerts will reach “{_line(target)}”.", "info")


def _paragraph(entry: Entry, public_url: str) -> str:
    about = _line(entry.about)
    if entry.silent:
        about += f" (silent sensors: {entry.silent})"
    parts = [f"{_WORDS[entry.event].upper()} ({entry.severity}): {_line(entry.rule)}", about]
    if entry.value is not None:
        parts.append(f"value {entry.value:g}")
    if entry.resolved_at is not None and entry.event == "resolved":
        parts.append(f"from {_time(entry.fired_at)} to {_time(entry.resolved_at)} UTC")
        parts.append(entry.resolution.replace("_", " "))
    else:
        parts.append(f"since {_time(entry.fired_at)} UTC")
    text = ", ".join(part for part in parts if part)
    return f"{text}\n{public_url}/alerts/{entry.alert_id}/" if public_url else text


def _line(text: str) -> str:
    """Return `text` in one line: names come from people."""
    return " ".join(text.split())


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
