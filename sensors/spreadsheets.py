"""CSV that stays data in a spreadsheet."""

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

import msgspec

# In a spreadsheet these start a formula, which nobody must be able to place there by the name of a sensor.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def guarded(text: str) -> str:
    """Return `text`, after an apostrophe where a spreadsheet would take it for a formula.

    Source: OWASP, "CSV Injection". Only for texts: a negative number is no formula.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def csv_cell(value: Any) -> str:
    """Return a JSON value as one cell: nothing for None, texts `guarded`, all else as JSON writes it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return guarded(value)
    # Numbers are most of an export, and need no encoder.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return msgspec.json.encode(value).decode().strip('"')


def csv_lines(rows: Iterable[Iterable[str]]) -> bytes:
    """Return the rows of cells as lines of CSV (RFC 4180)."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
