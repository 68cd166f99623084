"""How telemetry looks in JSON. All of it is read only: it comes over MQTT."""

from datetime import UTC, datetime
from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from sensors.models import SensorState
from sensors.wire import Reason
from telemetry.models import RejectedMessage, Severity

# A list shows how a payload begins; its own page shows all that was kept.
SHOWN_BYTES: Final = 1_000


class MomentField(serializers.DateTimeField):
    """A time in UTC. A page of 1,000 rows spends a third less than with the time zones of its base class."""

    def to_representation(self, value: Any) -> str:
        """Return ISO 8601 with Z."""
        moment: datetime = value
        return f"{moment.astimezone(UTC).isoformat()[:-6]}Z"


@extend_schema_field(OpenApiTypes.OBJECT)
class FlatField(serializers.ReadOnlyField):
    """A flat JSON object as it was received."""


class EntrySerializer(serializers.Serializer):
    """What measurements, heartbeats and log messages have in common."""

    measured_at = MomentField(help_text="The sensor's clock.")
    received_at = MomentField(help_text="The bridge's clock.")
    revision = serializers.IntegerField(help_text="The configuration that the sensor ran, by its own account.")


class MeasurementSerializer(EntrySerializer):
    """One measurement."""

    value = FlatField()


class NewestSerializer(serializers.Serializer):
    """The newest measurement of one sensor, from its state."""

    measured_at = MomentField(source="latest_measured_at")
    received_at = MomentField(source="latest_received_at")
    revision = serializers.IntegerField(source="latest_revision")
    value = FlatField(source="latest_value")


class SensorNewestSerializer(NewestSerializer):
    """The newest measurement of one sensor of many."""

    sensor = serializers.SerializerMethodField()

    def get_sensor(self, state: SensorState) -> str:
        """Return the sensor's identifier."""
        return state.sensor.identifier


class HeartbeatSerializer(EntrySerializer):
    """One heartbeat."""

    success = serializers.BooleanField(help_text="Whether the sensor could apply that configuration.")


class LogMessageSerializer(EntrySerializer):
    """One log message."""

    severity = serializers.ChoiceField(choices=Severity.choices)
    subject = serializers.CharField()
    details = serializers.CharField(allow_null=True)


class SensorLogMessageSerializer(LogMessageSerializer):
    """One log message of one sensor of many."""

    sensor = serializers.CharField()


class LogGroupSerializer(serializers.Serializer):
    """All log messages of one severity and subject."""

    severity = serializers.ChoiceField(choices=Severity.choices)
    subject = serializers.CharField()
    count = serializers.IntegerField()
    first = MomentField(help_text="The first one's measured_at.")
    last = MomentField(help_text="The last one's measured_at.")


class AttributeSerializer(serializers.Serializer):
    """One attribute of a sensor's newest measurements."""

    name = serializers.CharField()
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=["boolean", "null", "number", "string"]),
        help_text="The JSON types that it had; series show numbers.",
    )


class AttributesSerializer(serializers.Serializer):
    """All attributes on one page, in the form of every list."""

    next = serializers.URLField(allow_null=True, help_text="Always null.")
    previous = serializers.URLField(allow_null=True, help_text="Always null.")
    results = AttributeSerializer(many=True)


class BucketSerializer(serializers.Serializer):
    """What the numbers of one bucket were."""

    start = MomentField()
    count = serializers.IntegerField()
    min = serializers.FloatField()
    mean = serializers.FloatField()
    max = serializers.FloatField()


class SeriesSerializer(serializers.Serializer):
    """One attribute over time, without the empty buckets."""

    attribute = serializers.CharField()
    bucket_s = serializers.IntegerField(help_text="The length of every bucket, in seconds.")
    points = BucketSerializer(many=True)


class RejectedSerializer(serializers.Serializer):
    """What came in and could not be stored."""

    id = serializers.IntegerField()
    topic = serializers.CharField()
    sensor = serializers.CharField(allow_null=True, help_text="Null for what belongs to no known sensor.")
    reason = serializers.ChoiceField(choices=[reason.value for reason in Reason])
    detail = serializers.CharField(help_text="What was wrong, in words.")
    count = serializers.IntegerField(help_text="How often the same bytes came on the same topic.")
    first_at = MomentField()
    last_at = MomentField()
    whole = serializers.BooleanField(help_text="Whether it is a whole message, or else one entry of one.")
    kept = serializers.BooleanField(
        help_text="Whether it was kept. Otherwise it was too much in one hour: `count` says how much, and `topic` is a"
        " filter, `+/<sensor>`, or `#` for all that is unknown."
    )
    payload_bytes = serializers.IntegerField(help_text="The whole length.")
    payload = serializers.SerializerMethodField(help_text="Its beginning as text; what is no UTF-8 is replaced by �.")

    def get_payload(self, rejected: RejectedMessage) -> str:
        """Return as much of the payload as was asked of the database."""
        shown = getattr(rejected, "shown_payload", None)
        return bytes(rejected.payload if shown is None else shown).decode(errors="replace")
