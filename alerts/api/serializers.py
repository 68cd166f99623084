"""How rules, alerts and silences look in JSON, and what may be sent."""

import math
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from alerts.models import AlertSeverity, AlertState, Resolution, Rule, RuleKind, RuleScope, Silence
from alerts.rendering import rule_json, silence_json
from alerts.services.alerts import MAX_COMMENT
from alerts.services.rules import MAX_LISTED
from alerts.windows import MAX_COUNT
from sensors.api.serializers import IdentifierField, LabelsField, StrictSerializer, TextField
from sensors.services.checks import MAX_SPAN_S
from sensors.wire import MAX_KEY_CHARACTERS, SLUG_PATTERN
from telemetry.models import Severity


@extend_schema_field({"type": "number", "format": "double"})
class NumberField(serializers.Field):
    """A finite number and nothing that could be turned into one."""

    def to_internal_value(self, data: Any) -> float:
        """Return the number."""
        if type(data) not in (int, float) or not abs(data) <= 1.7976931348623157e308 or math.isnan(data):
            raise serializers.ValidationError("A finite number is required.")
        return float(data)

    def to_representation(self, value: float) -> float:
        """Return the number as it is."""
        return value


class WholeField(serializers.IntegerField):
    """A whole number and nothing that could be turned into one."""

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        kwargs.setdefault("allow_null", True)
        super().__init__(min_value=least, max_value=most, required=False, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class SpanField(WholeField):
    """Whole seconds, up to a year unless `most` says less, or null."""

    def __init__(self, least: int = 0, most: int = MAX_SPAN_S, **kwargs: Any) -> None:
        super().__init__(least, most, **kwargs)


class RuleSerializer(StrictSerializer):
    """One rule. Which limits count depends on its kind; the others are null."""

    constant_fields = ("kind",)

    id = serializers.IntegerField(read_only=True)
    name = TextField(max_length=200)
    kind = serializers.ChoiceField(choices=RuleKind.choices, help_text="Never changes.")
    enabled = serializers.BooleanField(required=False, help_text="True by default.")
    severity = serializers.ChoiceField(choices=AlertSeverity.choices, required=False, help_text="`warning` by default.")
    network = IdentifierField(
        SLUG_PATTERN,
        max_length=50,
        required=False,
        help_text="Slug. Alone: all of its sensors. Needed with `labels` unless you operate exactly one network.",
    )
    scope = serializers.ChoiceField(choices=RuleScope.choices, read_only=True, help_text="What was named.")
    sensors = serializers.ListField(
        child=IdentifierField(max_length=64),
        required=False,
        allow_null=True,
        allow_empty=False,
        max_length=MAX_LISTED,
        help_text="Identifiers, all in one network.",
    )
    labels = LabelsField(required=False, allow_null=True, help_text="The sensors that carry all of these.")
    attribute = TextField(
        max_length=MAX_KEY_CHARACTERS,
        required=False,
        allow_null=True,
        trim_whitespace=False,
        help_text="threshold, rate_of_change",
    )
    above = NumberField(
        required=False,
        allow_null=True,
        help_text="threshold: fires while the value is above; rate_of_change: while it changes by more a minute.",
    )
    below = NumberField(
        required=False,
        allow_null=True,
        help_text="threshold: fires while the value is below; rate_of_change: while it changes by less a minute.",
    )
    hysteresis = NumberField(
        required=False,
        allow_null=True,
        help_text="How far inside a value clears, 0 by default.",
    )
    for_s = SpanField(help_text="How long it must be violated before it fires, 0 by default.")
    keep_firing_s = SpanField(help_text="How long it must be inside before it clears, 0 by default.")
    share = NumberField(
        required=False, allow_null=True, help_text="gateway_silence: of its sensors, above 0 and at most 1 (default)."
    )
    log_severity = serializers.ChoiceField(
        choices=Severity.choices,
        required=False,
        allow_null=True,
        help_text="log_severity: messages of this severity or worse count, `error` by default.",
    )
    count = WholeField(
        least=1, most=MAX_COUNT, help_text="log_severity: how many messages within `window_s` fire, 1 by default."
    )
    timeout_s = SpanField(
        least=1,
        help_text="configuration_failure: how long a sensor may take to acknowledge a revision, 300 by default.",
    )
    window_s = SpanField(
        least=1,
        help_text="gateway_silence: its sensors count together if they were heard last within so long; null: always."
        " log_severity: within which `count` messages fire, 300 by default.",
    )
    period_s = SpanField(
        least=1,
        help_text="staleness, gateway_silence; null: that of each sensor's configuration, else its own. bridge_away: 60"
        " by default.",
    )
    grace_s = SpanField(help_text="staleness, gateway_silence; null: each sensor's own.")
    created_at = serializers.DateTimeField(read_only=True)
    created_by = serializers.CharField(read_only=True, allow_null=True, help_text="Username.")
    updated_at = serializers.DateTimeField(read_only=True)

    def to_representation(self, rule: Rule) -> dict[str, Any]:
        """Return the rule's JSON."""
        return rule_json(rule)


class MatchSerializer(serializers.Serializer):
    """What a rule would cover."""

    network = serializers.CharField()
    scope = serializers.ChoiceField(choices=RuleScope.choices)
    sensors = serializers.IntegerField(help_text="How many sensors it covers now.")


class BacktestSerializer(RuleSerializer):
    """A rule that need not be saved, and the range in which it is tried."""

    name = TextField(max_length=200, required=False)
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(required=False, help_text="Now by default.")


class PastEpisodeSerializer(serializers.Serializer):
    """An alert that would have been."""

    sensor = serializers.CharField(help_text="Identifier.")
    started_at = serializers.DateTimeField()
    fired_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True, help_text="Null: it would still fire at `end`.")
    value = serializers.FloatField(help_text="Its last violating value.")


class BacktestResultSerializer(serializers.Serializer):
    """What a rule would have found."""

    network = serializers.CharField(help_text="Slug.")
    scope = serializers.ChoiceField(choices=RuleScope.choices)
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    sensors = serializers.IntegerField(help_text="How many it covers now.")
    samples = serializers.IntegerField(help_text="How many values were looked at.")
    fired = serializers.IntegerField(help_text="How many alerts would have fired.")
    cleared_early = serializers.IntegerField(help_text="How many violations ended before `for_s` had passed.")
    firing_s = serializers.FloatField(help_text="For how long alerts would have fired, summed over the sensors.")
    episodes = PastEpisodeSerializer(many=True, help_text="Those that fired, by sensor and time, the first thousand.")


class AlertSerializer(serializers.Serializer):
    """One episode in which a rule was violated; the live event `alert` has the same fields."""

    id = serializers.IntegerField()
    rule = serializers.IntegerField(allow_null=True, help_text="Null: the rule was deleted.")
    rule_name = serializers.CharField()
    network = serializers.CharField(help_text="Slug.")
    sensor = serializers.CharField(allow_null=True, help_text="Identifier; null for an alert about something else.")
    gateway = serializers.CharField(
        allow_null=True, help_text="Identifier; null for an alert about something else. Both null: about the bridges."
    )
    members = serializers.ListField(child=serializers.CharField(), help_text="The gateway's silent sensors.")
    detail = serializers.CharField(allow_blank=True, help_text="What is wrong with the bridges, in words.")
    state = serializers.ChoiceField(choices=AlertState.choices)
    severity = serializers.ChoiceField(choices=AlertSeverity.choices)
    value = serializers.FloatField(
        allow_null=True, help_text="The newest violating value, at most some seconds old while it fires."
    )
    started_at = serializers.DateTimeField(help_text="When the violation began, on the sensor's clock.")
    fired_at = serializers.DateTimeField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolution = serializers.ChoiceField(choices=Resolution.choices, allow_blank=True, help_text="Why it ended.")
    resolved_by = serializers.CharField(allow_null=True, help_text="Username, if it was resolved by hand.")
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_by = serializers.CharField(allow_null=True, help_text="Username.")
    acknowledgement = serializers.CharField(allow_blank=True, help_text="The comment.")
    backfilled = serializers.BooleanField(help_text="Known only from data that came late.")
    flapping = serializers.BooleanField(
        help_text="Its rule and sensor (or gateway) fired and resolved too often up to its last change, and still do."
    )
    silenced = serializers.BooleanField(help_text="Whether a silence matches it at this moment.")
    rule_snapshot = serializers.DictField(help_text="The rule as it was when the episode began.")


class AcknowledgeSerializer(StrictSerializer):
    """What may be said about an alert."""

    comment = TextField(max_length=MAX_COMMENT, required=False, allow_blank=True)


class EmptySerializer(StrictSerializer):
    """Nothing."""


@extend_schema_field(
    {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            "network": {"type": "string"},
            "sensor": {"type": "string"},
            "rule": {"type": "integer"},
            "severity": {"type": "string", "enum": AlertSeverity.values},
            "label": {"type": "string", "pattern": ":"},
        },
        "example": {"sensor": "boiler-1", "severity": "warning"},
    }
)
class MatchersField(serializers.Field):
    """What alerts must have in common; all of it must match."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the matchers, which `create_silence` checks."""
        if not isinstance(data, dict):
            raise serializers.ValidationError('Matchers are an object like {"sensor": "boiler-1"}.')
        return data

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the matchers as they are."""
        return value


class SilenceSerializer(StrictSerializer):
    """One span of time in which matching alerts disturb nobody; they are still recorded."""

    constant_fields = ("matchers",)

    id = serializers.IntegerField(read_only=True)
    network = serializers.CharField(read_only=True, help_text="Slug of the network in which it holds.")
    matchers = MatchersField(help_text="All must match. Never changes.")
    starts_at = serializers.DateTimeField(required=False, help_text="Now by default.")
    ends_at = serializers.DateTimeField(help_text="Set it to now to end a silence early.")
    comment = TextField(max_length=MAX_COMMENT, required=False, allow_blank=True)
    created_at = serializers.DateTimeField(read_only=True)
    created_by = serializers.CharField(read_only=True, allow_null=True, help_text="Username.")

    def to_representation(self, silence: Silence) -> dict[str, Any]:
        """Return the silence's JSON."""
        return silence_json(silence)
