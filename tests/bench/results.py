"""Figures, what they stand beside, what was asked for, and the table."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Column, Table


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: `least` must be reached, `aim` is wanted.

    of_floor: both are shares of the floor, else in the figure's unit. small: less is better.
    """

    least: float
    aim: float | None = None
    of_floor: bool = False
    small: bool = False

    def verdict(self, figure: float, floor: float | None) -> str:
        """Return "aim", "ok" or "missed"; "" where there is no floor to compare with."""
        if self.of_floor:
            if not floor:
                return ""
            figure /= floor
        if self.aim is not None and self._reached(figure, self.aim):
            return "aim"
        return "ok" if self._reached(figure, self.least) else "missed"

    def text(self) -> str:
        """Return it as the table shows it."""
        sign = "≤" if self.small else "≥"
        unit = " × floor" if self.of_floor else ""
        aim = "" if self.aim is None else f", aim {self.aim:,g}{unit}"
        return f"{sign} {self.least:,g}{unit}{aim}"

    def _reached(self, figure: float, wanted: float) -> bool:
        return figure <= wanted if self.small else figure >= wanted


@dataclass(frozen=True, slots=True)
class Run:
    """One run's figure, its floor in the same unit, and what else was seen."""

    figure: float
    floor: float | None = None
    detail: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the runs of one measurement; what is shown are their medians."""

    work: str
    what: str
    unit: str
    runs: Sequence[Run]
    floor_is: str = ""
    target: Target | None = None

    @property
    def figure(self) -> float:
        return statistics.median(run.figure for run in self.runs)

    @property
    def floor(self) -> float | None:
        floors = [run.floor for run in self.runs if run.floor is not None]
        return statistics.median(floors) if floors else None

    @property
    def share(self) -> float | None:
        """The median of the runs' shares of their own floors."""
        shares = [run.figure / run.floor for run in self.runs if run.floor]
        return statistics.median(shares) if shares else None

    @property
    def detail(self) -> dict[str, float]:
        names = dict.fromkeys(name for run in self.runs for name in run.detail)
        return {name: statistics.median(run.detail[name] for run in self.runs if name in run.detail) for name in names}

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        if self.target.of_floor and self.share is not None:
            return self.target.verdict(self.share, 1.0)
        return self.target.verdict(self.figure, self.floor)

    @property
    def briefly(self) -> str:
        """The figure and its share of the floor."""
        share = "" if self.share is None else f", × {_short(self.share)} of: {self.floor_is}"
        return f"{_short(self.figure)} {self.unit}{share}"

    def as_json(self) -> dict[str, Any]:
        """Return the row with its medians and every run."""
        return {
            "work": self.work,
            "what": self.what,
            "unit": self.unit,
            "figure": self.figure,
            "floor": self.floor,
            "floor_is": self.floor_is,
            "share_of_floor": self.share,
            "asked_for": self.target.text() if self.target else "",
            "verdict": self.verdict,
            "detail": self.detail,
            "runs": [{"figure": run.figure, "floor": run.floor, "detail": dict(run.detail)} for run in self.runs],
        }


def table_of(rows: Sequence[Row]) -> Table:
    """Return what a person reads."""
    table = Table("work", "figure", "floor", "asked for", Column("more", no_wrap=True), show_lines=True)
    for row in rows:
        spread = sorted(run.figure for run in row.runs)
        figure = f"{_short(row.figure)} {row.unit}"
        if len(spread) > 1:
            figure += f"\n{_short(spread[0])} to {_short(spread[-1])}"
        floor = ""
        if row.floor is not None:
            floor = f"{_short(row.floor)}, × {_short(row.share or 0)}\n{row.floor_is}"
        asked = f"{row.target.text()}\n{row.verdict}" if row.target else ""
        more = "\n".join(f"{name} {_short(value)}" for name, value in row.detail.items())
        table.add_row(f"{row.work}: {row.what}", figure, floor, asked, more)
    return table


def markdown_of(rows: Sequence[Row]) -> str:
    """Return the table for a page of documentation."""
    lines = ["| work | measured | floor | share | asked for | |", "|---|---|---|---|---|---|"]
    for row in rows:
        floor = "" if row.floor is None else f"{_short(row.floor)} {row.unit}: {row.floor_is}"
        share = "" if row.share is None else _short(row.share)
        asked = row.target.text() if row.target else ""
        cells = [f"`{row.work}`: {row.what}", f"{_short(row.figure)} {row.unit}", floor, share, asked, row.verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of `values` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _short(value: float) -> str:
    if value == round(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"
