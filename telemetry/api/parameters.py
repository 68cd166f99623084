"""Query parameters that several endpoints share, and how they are documented."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from sensors.api.filters import refuse_unknown_parameters
from sensors.wire import MAX_KEY_CHARACTERS
from telemetry.models import Severity
from telemetry.times import parse_time

PAGE_NAMES: Final = ("limit", "cursor")
RANGE_NAMES: Final = ("start", "end")

START: Final = OpenApiParameter(
    "start",
    OpenApiTypes.DATETIME,
    description="From this moment on, ISO 8601 with Z or an offset (a plus sign in a URL is written %2B).",
)
END: Final = OpenApiParameter(
    "end", OpenApiTypes.DATETIME, description="Before this moment, which itself does not belong to the range."
)
RANGE: Final = [START, END]
SEVERITY: Final = OpenApiParameter(
    "severity", str, enum=Severity.values, many=True, description="Repeatable: any of them."
)
SENSOR: Final = OpenApiParameter("sensor", str, description="A sensor's identifier.")
NETWORK: Final = OpenApiParameter("network", str, description="A network's slug.")


@dataclass(frozen=True, slots=True)
class Range:
    """A half-open range of time; None leaves that side open."""

    start: datetime | None
    end: datetime | None

    def bounds(self) -> dict[str, Any]:
        """Return `start` and `end` as keyword arguments."""
        return {"start": self.start, "end": self.end}


def read_range(request: Request) -> Range:
    """Return the request's `start` and `end`; ValidationError names the one that is wrong."""
    start, end = read_time(request, "start"), read_time(request, "end")
    if start is not None and end is not None and start >= end:
        raise ValidationError({"end": [f"{end.isoformat()} is not after start, {start.isoformat()}."]})
    return Range(start, end)


def read_time(request: Request, name: str) -> datetime | None:
    """Return a parameter's time in UTC, or None if it is not there; ValidationError names it if it is none."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise ValidationError({name: [str(error)]}) from error


def read_text(request: Request, name: str, *, required: bool = False) -> str | None:
    """Return a parameter's text, or None if it is empty or missing; ValidationError if it is required or odd."""
    text = request.query_params.get(name, "")
    if not text:
        if required:
            raise ValidationError({name: ["This parameter is required."]})
        return None
    if "\x00" in text:
        raise ValidationError({name: ["A NUL character is not allowed."]})
    return text


def read_choice(request: Request, name: str, choices: list[str]) -> str | None:
    """Return a parameter that is one of `choices`, or None if it is not there."""
    text = read_text(request, name)
    if text is not None:
        _check_choice(name, text, choices)
    return text


def read_severities(request: Request) -> list[str]:
    """Return all values of `severity`; none means any."""
    severities = [text for text in request.query_params.getlist("severity") if text]
    for text in severities:
        _check_choice("severity", text, Severity.values)
    return severities


def read_number(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    """Return a parameter's whole number from `least` to `most`."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise ValidationError({name: [f"{text[:50]!r} is no whole number from {least} to {most}."]})
    return int(text)


def read_attribute(request: Request) -> str:
    """Return the required `attribute`."""
    attribute = read_text(request, "attribute", required=True)
    assert attribute is not None
    if len(attribute) > MAX_KEY_CHARACTERS:
        raise ValidationError({"attribute": [f"No attribute is longer than {MAX_KEY_CHARACTERS} characters."]})
    return attribute


def refuse_unknown(request: Request, *names: str) -> None:
    """Raise ValidationError naming each query parameter that is not in `names`: a typo never returns everything."""
    refuse_unknown_parameters(request, names)


def _check_choice(name: str, text: str, choices: list[str]) -> None:
    if text not in choices:
        raise ValidationError({name: [f"{text[:50]!r} is none of {', '.join(choices)}."]})
