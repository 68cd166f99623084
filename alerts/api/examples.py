"""What the OpenAPI document shows as examples."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_THRESHOLD: Final[dict[str, Any]] = {
    "name": "Boiler too hot",
    "kind": "threshold",
    "sensors": ["boiler-1", "boiler-2"],
    "attribute": "temperature",
    "above": 90,
    "hysteresis": 2,
    "for_s": 60,
    "severity": "critical",
}
_RULE: Final[dict[str, Any]] = {
    "id": 7,
    "name": "Boiler too hot",
    "kind": "threshold",
    "enabled": True,
    "severity": "critical",
    "network": "plant",
    "scope": "sensors",
    "sensors": ["boiler-1", "boiler-2"],
    "labels": None,
    "attribute": "temperature",
    "above": 90.0,
    "below": None,
    "hysteresis": 2.0,
    "for_s": 60,
    "keep_firing_s": 0,
    "period_s": None,
    "grace_s": None,
    "share": None,
    "log_severity": None,
    "count": None,
    "window_s": None,
    "timeout_s": None,
    "created_at": "2026-03-01T12:00:00Z",
    "created_by": "ada",
    "updated_at": "2026-03-01T12:00:00Z",
}
_ALERT: Final[dict[str, Any]] = {
    "id": 41,
    "rule": 7,
    "rule_name": "Boiler too hot",
    "network": "plant",
    "sensor": "boiler-1",
    "gateway": None,
    "members": [],
    "detail": "",
    "state": "firing",
    "severity": "critical",
    "value": 93.5,
    "started_at": "2026-03-01T12:30:00Z",
    "fired_at": "2026-03-01T12:31:00Z",
    "resolved_at": None,
    "resolution": "",
    "resolved_by": None,
    "acknowledged_at": None,
    "acknowledged_by": None,
    "acknowledgement": "",
    "backfilled": False,
    "flapping": False,
    "silenced": False,
    "rule_snapshot": {
        "name": "Boiler too hot",
        "kind": "threshold",
        "severity": "critical",
        "scope": "sensors",
        "attribute": "temperature",
        "above": 90.0,
        "below": None,
        "hysteresis": 2.0,
        "for_s": 60,
        "keep_firing_s": 0,
    },
}
_SILENCE: Final[dict[str, Any]] = {
    "matchers": {"sensor": "boiler-1", "severity": "warning"},
    "ends_at": "2026-03-01T18:00:00Z",
    "comment": "Maintenance",
}


def _sent(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


def _answer(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True)


RULE: Final = [_answer("A threshold rule", _RULE)]
RULES: Final = [
    _sent("Two boilers by temperature", _THRESHOLD),
    _sent(
        "Every sensor of a floor by silence",
        {"name": "Silent", "kind": "staleness", "network": "plant", "labels": {"floor": "2"}, "grace_s": 60},
    ),
    _sent(
        "Gateways of which half of the sensors fell silent within ten minutes",
        {"name": "Gateway is silent", "kind": "gateway_silence", "network": "plant", "share": 0.5, "window_s": 600},
    ),
    _sent("The service's own bridges", {"name": "Bridge is away", "kind": "bridge_away", "network": "plant"}),
    _sent(
        "Sensors that log three errors in a minute",
        {"name": "Errors", "kind": "log_severity", "network": "plant", "log_severity": "error", "count": 3}
        | {"window_s": 60},
    ),
    _sent(
        "Sensors that do not take their configuration",
        {"name": "Not configured", "kind": "configuration_failure", "network": "plant", "timeout_s": 600},
    ),
    *RULE,
]
MATCHED: Final = [
    _sent("Sensors with a label", {"network": "plant", "labels": {"floor": "2"}}),
    _answer("Twelve sensors", {"network": "plant", "scope": "labels", "sensors": 12}),
]
BACKTESTS: Final = [
    _sent(
        "Two boilers in the last winter",
        {**_THRESHOLD, "start": "2025-12-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"},
    ),
    _answer(
        "One alert of half an hour",
        {
            "network": "plant",
            "scope": "sensors",
            "start": "2025-12-01T00:00:00Z",
            "end": "2026-03-01T00:00:00Z",
            "sensors": 2,
            "samples": 259_200,
            "fired": 1,
            "cleared_early": 4,
            "firing_s": 1_800.0,
            "episodes": [
                {
                    "sensor": "boiler-1",
                    "started_at": "2026-01-07T06:12:00Z",
                    "fired_at": "2026-01-07T06:13:00Z",
                    "resolved_at": "2026-01-07T06:43:00Z",
                    "value": 91.5,
                }
            ],
        },
    ),
]
ALERT: Final = [_answer("A firing alert", _ALERT)]
ACKNOWLEDGED: Final = [
    _sent("Somebody is on it", {"comment": "Pump 2 is being replaced"}),
    _answer(
        "Acknowledged",
        _ALERT
        | {
            "acknowledged_at": "2026-03-01T12:35:00Z",
            "acknowledged_by": "ada",
            "acknowledgement": "Pump 2 is being replaced",
        },
    ),
]
SILENCE: Final = [
    _answer(
        "Until the evening",
        {
            "id": 3,
            "network": "plant",
            **_SILENCE,
            "starts_at": "2026-03-01T12:00:00Z",
            "created_at": "2026-03-01T12:00:00Z",
            "created_by": "ada",
        },
    )
]
SILENCES: Final = [_sent("Until the evening", _SILENCE), *SILENCE]
_TARGET: Final[dict[str, Any]] = {
    "name": "Duty's mailbox",
    "network": "plant",
    "least_severity": "warning",
    "repeat_interval_s": 3600,
}
TARGET: Final = [
    _answer(
        "A mailbox",
        {
            "id": 5,
            **_TARGET,
            "address": "mailtos://…",
            "url_changed_at": "2026-03-01T12:00:00Z",
            "enabled": True,
            "tell_resolved": True,
            "group_wait_s": 10,
            "escalate_after_s": None,
            "last_sent_at": "2026-03-01T12:31:11Z",
            "last_failed_at": None,
            "last_error": "",
            "retry_at": None,
            "created_at": "2026-03-01T12:00:00Z",
            "created_by": "ada",
            "updated_at": "2026-03-01T12:00:00Z",
        },
    )
]
TARGETS: Final = [
    _sent(
        "A mailbox, again every hour until somebody acknowledges",
        {**_TARGET, "url": "mailtos://fleet:PASSWORD@mail.example.org?from=fleet@example.org&to=duty@example.org"},
    ),
    _sent(
        "A chat that hears only of what nobody acknowledged for a quarter of an hour",
        {
            "name": "Boss",
            "network": "plant",
            "url": "tgram://BOT_TOKEN/CHAT_ID",
            "least_severity": "critical",
            "escalate_after_s": 900,
        },
    ),
    _sent(
        "A webhook that is sent JSON",
        {
            "name": "Tickets",
            "network": "plant",
            "url": "jsons://tickets.example.org/fleet?+Authorization=Bearer%20TOKEN",
        },
    ),
    *TARGET,
]
TESTED: Final = [
    _answer("It was taken", {"sent": True, "error": ""}),
    _answer("It was not", {"sent": False, "error": "The server answered with the status 403."}),
]
NOTIFICATION: Final = [
    _answer(
        "Sent at the second attempt",
        {
            "id": 812,
            "network": "plant",
            "alert": 41,
            "rule_name": "Boiler too hot",
            "sensor": "boiler-1",
            "gateway": None,
            "target": 5,
            "target_name": "Duty's mailbox",
            "event": "firing",
            "number": 0,
            "state": "sent",
            "created_at": "2026-03-01T12:31:00Z",
            "due_at": "2026-03-01T12:31:10Z",
            "sent_at": "2026-03-01T12:31:21Z",
            "attempts": 2,
            "last_error": "",
        },
    )
]
