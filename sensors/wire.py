"""What all MQTT payloads share: identifiers, limits, reasons for refusal, flat values. Pure."""

import enum
import math
import re
from dataclasses import dataclass
from typing import Final

IDENTIFIER_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
SLUG_PATTERN: Final = "[a-z0-9][a-z0-9-]{0,49}"
_IDENTIFIER: Final = re.compile(IDENTIFIER_PATTERN)

# A payload of 1,000 measurements of 10 attributes is about 200 KiB; beyond this a sensor should split.
MAX_PAYLOAD_BYTES: Final = 256 * 1024
# Far above what a device measures at once; keeps one payload from flooding the list of attributes.
MAX_ATTRIBUTES: Final = 200
MAX_KEY_CHARACTERS: Final = 200
# 2000-01-01T00:00:00Z: clocks that were never set start at 1970 or 1980.
MIN_TIMESTAMP_S: Final = 946_684_800.0
# Clocks drift by seconds to minutes; milliseconds sent as seconds are tens of thousands of years ahead.
MAX_AHEAD_S: Final = 300.0
# The database's integer.
MAX_REVISION: Final = 2**31 - 1

FlatValue = dict[str, str | int | float | bool | None]


class Reason(enum.StrEnum):
    """Why something that came in was not stored; each has a row in docs/mqtt.md."""

    MALFORMED_JSON = "malformed_json"
    NOT_UTF8 = "not_utf8"
    SCHEMA = "schema"
    NOT_FLAT = "not_flat"
    NOT_FINITE = "not_finite"
    TIMESTAMP_OUT_OF_RANGE = "timestamp_out_of_range"
    TOO_LARGE = "too_large"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"
    UNKNOWN_SENSOR = "unknown_sensor"
    UNKNOWN_TOPIC = "unknown_topic"
    REFUSED_BY_DATABASE = "refused_by_database"


@dataclass(frozen=True, slots=True)
class PayloadError(Exception):
    """A payload or entry that is refused: the reason's code and what was wrong, in words for its sender."""

    code: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


def is_identifier(text: str) -> bool:
    """Return whether `text` can name a sensor or gateway: [A-Za-z0-9][A-Za-z0-9_-]{0,63}."""
    return _IDENTIFIER.fullmatch(text) is not None


def check_text(text: str, where: str) -> None:
    """Raise PayloadError for what PostgreSQL cannot store as text: NUL and lone surrogates."""
    if "\x00" in text:
        raise PayloadError(Reason.SCHEMA, f"{where} contains a NUL character")
    # isascii costs nothing for nearly all texts; encoding finds lone surrogates.
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PayloadError(Reason.SCHEMA, f"{where} contains a lone surrogate") from error


def check_flat(value: object, where: str, *, max_attributes: int = MAX_ATTRIBUTES) -> FlatValue:
    """Return `value` if it is a flat object; raise PayloadError with the first thing that is wrong in it.

    Flat: keys to string, finite number, boolean or null; at most `max_attributes` keys; may be empty.
    """
    if not isinstance(value, dict):
        raise PayloadError(Reason.SCHEMA, f"{where} must be an object")
    if len(value) > max_attributes:
        raise PayloadError(
            Reason.TOO_MANY_ATTRIBUTES, f"{where} has {len(value)} attributes; at most {max_attributes} are kept"
        )
    for key, item in value.items():
        if len(key) > MAX_KEY_CHARACTERS:
            raise PayloadError(
                Reason.SCHEMA, f"{where} has a key of {len(key)} characters; at most {MAX_KEY_CHARACTERS}"
            )
        check_text(key, f"a key of {where}")
        kind = type(item)
        if kind is float:
            if not math.isfinite(item):
                raise PayloadError(Reason.NOT_FINITE, f"{where}.{key} is not a finite number")
        elif kind is str:
            check_text(item, f"{where}.{key}")
        elif kind is int:
            # Beyond a double no client could read it back as a number.
            if abs(item) > 1.7976931348623157e308:
                raise PayloadError(Reason.NOT_FINITE, f"{where}.{key} is beyond a double")
        elif kind is not bool and item is not None:
            raise PayloadError(Reason.NOT_FLAT, f"{where}.{key} is an object or array; only flat values are kept")
    return value


def check_timestamp(timestamp_s: float, *, now_s: float) -> None:
    """Raise PayloadError unless `timestamp_s` (Unix seconds) lies between 2000-01-01 and `now_s` + 300."""
    if not MIN_TIMESTAMP_S <= timestamp_s <= now_s + MAX_AHEAD_S:
        hint = " (milliseconds?)" if timestamp_s > 1e11 else ""
        raise PayloadError(
            Reason.TIMESTAMP_OUT_OF_RANGE,
            f"timestamp {timestamp_s!r} is before 2000-01-01 or more than 5 minutes ahead{hint}",
        )


def check_revision(revision: object) -> int:
    """Return `revision` if it is a whole number from 0 to 2**31 - 1; raise PayloadError otherwise."""
    if type(revision) is not int or not 0 <= revision <= MAX_REVISION:
        raise PayloadError(Reason.SCHEMA, f"revision must be a whole number from 0 to {MAX_REVISION}")
    return revision
