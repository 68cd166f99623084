"""Rows of a CSV file as measurements: one time column, all others values."""

import csv
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from sensors.wire import (
    MAX_ATTRIBUTES,
    MAX_KEY_CHARACTERS,
    FlatValue,
    PayloadError,
    check_text,
    check_timestamp,
)

# The first that a header has is taken; after them any name with "time" or "date" in it.
TIME_COLUMNS: Final = ("timestamp", "measured_at", "datetime", "date_time", "time", "date", "ts")
DELIMITERS: Final = ",;\t|"
# How CSV files say that there is no value.
MISSING: Final = frozenset({"", "nan", "na", "n/a", "null"})

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_WHOLE: Final = re.compile(r"[+-]?\d{1,18}")
_SLASHED_DATE: Final = re.compile(r"\d{4}/\d{1,2}/\d{1,2}")
# Unix times of this century have 10 digits in seconds, 13 in milliseconds, 16 in micro-, 19 in nanoseconds.
_UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


class TableError(ValueError):
    """A file that cannot be replayed at all; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One usable row: where it stood, when it was measured (Unix seconds), and its values."""

    line: int
    timestamp_s: float
    value: FlatValue


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that is left out, and why."""

    line: int
    problem: str


class Table:
    """A CSV file with a header; iterate over it once to get its rows, usable and bad, in their order.

    lines: the file's lines, decoded with `errors="surrogateescape"` so that foreign bytes cost only their row.
    time_column: its name in the header; guessed if empty. time_zone: of times that name none.
    time_format: of `strptime`; by default ISO 8601 or Unix time. now_s: later times (by over 5 minutes) are bad.
    Numbers become numbers, empty cells (and NaN, NA, null) are left out, everything else is text.
    Raises TableError for a file without a header, a time column or values.
    """

    def __init__(
        self,
        lines: Iterable[str],
        *,
        now_s: float,
        time_column: str = "",
        time_zone: tzinfo = UTC,
        time_format: str = "",
    ) -> None:
        iterator = iter(lines)
        first = next(iterator, "").removeprefix("\ufeff")
        if not first.strip():
            raise TableError("the file is empty; its first line must name the columns")
        delimiter = max(DELIMITERS, key=first.count)
        self._reader = csv.reader(_chain(first, iterator), delimiter=delimiter)
        header = [name.strip() for name in next(self._reader)]
        self.columns = [name or f"column_{number}" for number, name in enumerate(header, start=1)]
        self._time_index = self._find_time_column(time_column)
        self.time_column = self.columns[self._time_index]
        self._check_names()
        self._now_s = now_s
        self._time_zone = time_zone
        self._time_format = time_format

    def __iter__(self) -> Iterator[Row | BadRow]:
        while True:
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(self._reader.line_num, str(error))
                continue
            if not any(cell.strip() for cell in cells):
                continue  # an empty line
            line = self._reader.line_num
            try:
                yield self._row(line, cells)
            except ValueError as error:
                yield BadRow(line, str(error))
            except PayloadError as error:
                yield BadRow(line, error.detail)

    def _row(self, line: int, cells: list[str]) -> Row:
        if len(cells) != len(self.columns):
            raise ValueError(f"has {len(cells)} columns where the header has {len(self.columns)}")
        timestamp_s = self._timestamp(cells[self._time_index].strip())
        check_timestamp(timestamp_s, now_s=self._now_s)
        value: FlatValue = {}
        for index, cell in enumerate(cells):
            text = cell.strip()
            if index != self._time_index and text.lower() not in MISSING:
                value[self.columns[index]] = _value(text, self.columns[index])
        if not value:
            raise ValueError("has no values")
        return Row(line, timestamp_s, value)

    def _timestamp(self, text: str) -> float:
        if not text:
            raise ValueError("has no time")
        if self._time_format:
            return self._seconds(datetime.strptime(text, self._time_format))  # noqa: DTZ007 - zone added below
        if _NUMBER.fullmatch(text):
            number = float(text)
            per_second = next((unit for limit, unit in _UNITS if number > limit), 1.0)
            # Eight digits are a date without dashes, not a moment in 1970.
            if len(text) != 8 or not text.isdigit():
                return number / per_second
        if _SLASHED_DATE.match(text):
            text = text.replace("/", "-")
        try:
            return self._seconds(datetime.fromisoformat(text))
        except ValueError:
            raise ValueError(f"{text[:40]!r} is no time in ISO 8601 or Unix time; --time-format can say more") from None

    def _seconds(self, moment: datetime) -> float:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._time_zone)
        return moment.timestamp()

    def _find_time_column(self, wanted: str) -> int:
        names = [name.lower() for name in self.columns]
        listed = ", ".join(self.columns)
        if wanted:
            if wanted.lower() not in names:
                raise TableError(f"there is no column {wanted!r}; there are: {listed}")
            return names.index(wanted.lower())
        for name in TIME_COLUMNS:
            if name in names:
                return names.index(name)
        for index, name in enumerate(names):
            if "time" in name or "date" in name:
                return index
        raise TableError(f"none of the columns looks like a time; name it with --time-column. There are: {listed}")

    def _check_names(self) -> None:
        if len(self.columns) < 2:
            raise TableError(f"there is only the column {self.time_column!r}; at least one value column is needed")
        if len(self.columns) - 1 > MAX_ATTRIBUTES:
            raise TableError(f"there are {len(self.columns) - 1} value columns; at most {MAX_ATTRIBUTES} are kept")
        seen: set[str] = set()
        for name in self.columns:
            if len(name) > MAX_KEY_CHARACTERS:
                raise TableError(f"the column name {name[:40]!r}… is longer than {MAX_KEY_CHARACTERS} characters")
            try:
                check_text(name, "a column name")
            except PayloadError as error:
                raise TableError(f"{error.detail}; the file must be UTF-8 text") from error
            if name in seen:
                raise TableError(f"two columns are called {name!r}; rename one")
            seen.add(name)


def _value(text: str, column: str) -> str | int | float:
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{column}: {text[:40]} is beyond a double")
        return number
    try:
        check_text(text, column)
    except PayloadError as error:
        if "surrogate" in error.detail:
            raise ValueError(f"{column} is not UTF-8 text") from error
        raise
    return text


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
