"""Answers as the OpenAPI document shows them."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_VALUE: Final = {"temperature": 21.5, "humidity": 48, "door_open": False}
_MEASUREMENT: Final = {
    "measured_at": "2026-03-01T12:00:00Z",
    "received_at": "2026-03-01T12:00:00.042Z",
    "revision": 3,
    "value": _VALUE,
}
_LOG_MESSAGE: Final = {
    "measured_at": "2026-03-01T12:00:00Z",
    "received_at": "2026-03-01T12:00:00.042Z",
    "revision": 3,
    "severity": "warning",
    "subject": "battery low",
    "details": "3.31 V",
}


def _answer(name: str, value: Any) -> list[OpenApiExample]:
    return [OpenApiExample(name, value=value, response_only=True)]


MEASUREMENTS: Final = _answer("A measurement", _MEASUREMENT)
LATEST: Final = _answer("The newest measurement", _MEASUREMENT)
LATEST_OF_ALL: Final = _answer("The newest of one sensor", {"sensor": "boiler-1", **_MEASUREMENT})
HEARTBEATS: Final = _answer(
    "A heartbeat",
    {
        "measured_at": "2026-03-01T12:00:00Z",
        "received_at": "2026-03-01T12:00:00.042Z",
        "revision": 3,
        "success": True,
    },
)
LOG_MESSAGES: Final = _answer("A warning", _LOG_MESSAGE)
LOG_MESSAGES_OF_ALL: Final = _answer("A warning of one sensor", {"sensor": "boiler-1", **_LOG_MESSAGE})
LOG_SUMMARY: Final = _answer(
    "One kind of warning",
    {
        "severity": "warning",
        "subject": "battery low",
        "count": 12,
        "first": "2026-02-27T03:10:00Z",
        "last": "2026-03-01T12:00:00Z",
    },
)
ATTRIBUTES: Final = _answer(
    "Two attributes",
    {
        "next": None,
        "previous": None,
        "results": [
            {"name": "door_open", "kinds": ["boolean"]},
            {"name": "temperature", "kinds": ["null", "number"]},
        ],
    },
)
SERIES: Final = _answer(
    "Two hours with a gap between them",
    {
        "attribute": "temperature",
        "bucket_s": 3600,
        "points": [
            {"start": "2026-03-01T12:00:00Z", "count": 60, "min": 20.9, "mean": 21.4, "max": 22.0},
            {"start": "2026-03-01T15:00:00Z", "count": 58, "min": 21.1, "mean": 21.6, "max": 22.3},
        ],
    },
)
REJECTED: Final = _answer(
    "A sensor that sends no JSON",
    {
        "id": 7,
        "topic": "measurements/boiler-1",
        "sensor": "boiler-1",
        "reason": "malformed_json",
        "detail": "JSON is malformed: invalid character (byte 0)",
        "count": 3,
        "first_at": "2026-03-01T11:58:00Z",
        "last_at": "2026-03-01T12:00:00Z",
        "whole": True,
        "kept": True,
        "payload_bytes": 9,
        "payload": "temp=21.5",
    },
)
EXPORT: Final = [
    OpenApiExample(
        "CSV",
        value=(
            "measured_at,received_at,revision,humidity,temperature\r\n"
            "2026-03-01T12:00:00Z,2026-03-01T12:00:00.042000Z,3,48,21.5\r\n"
        ),
        response_only=True,
        media_type="text/csv",
    ),
    OpenApiExample(
        "NDJSON",
        value=(
            '{"measured_at":"2026-03-01T12:00:00Z","received_at":"2026-03-01T12:00:00.042000Z",'
            '"revision":3,"value":{"humidity": 48, "temperature": 21.5}}\n'
        ),
        response_only=True,
        media_type="application/x-ndjson",
    ),
]
