"""How revisions look in JSON, and what may be sent."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.models import Revision, RevisionState
from config.payloads import check_values
from config.services import MAX_COMMENT
from sensors.api.serializers import StrictSerializer, TextField
from sensors.wire import MAX_ATTRIBUTES, MAX_REVISION, PayloadError

_SCALAR = {
    "oneOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}],
    "nullable": True,
}
_FLAT = {"type": "object", "additionalProperties": _SCALAR, "maxProperties": MAX_ATTRIBUTES}
_CHANGED = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["from", "to"],
        "properties": {"from": _SCALAR, "to": _SCALAR},
    },
}


@extend_schema_field(_FLAT | {"example": {"interval_s": 5, "unit": "celsius", "enabled": True}})
class ConfigurationField(serializers.Field):
    """A flat object: keys to string, finite number, boolean or null."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; ValidationError says which key is wrong."""
        try:
            return check_values(data)
        except PayloadError as error:
            raise serializers.ValidationError(f"{error.detail}.") from error

    def to_representation(self, value: Any) -> Any:
        """Return the values as they are."""
        return value


def _comment() -> TextField:
    return TextField(max_length=MAX_COMMENT, required=False, allow_blank=True)


def _expected_revision() -> serializers.IntegerField:
    return serializers.IntegerField(
        min_value=-1,
        max_value=MAX_REVISION,
        required=False,
        allow_null=True,
        write_only=True,
        help_text="The newest revision that you know, -1 for none; 409 if there is another one by now.",
    )


class RestoreSerializer(StrictSerializer):
    """What may be said about a restored revision."""

    comment = _comment()
    expected_revision = _expected_revision()


class RevisionSerializer(StrictSerializer):
    """One revision of one sensor's configuration."""

    sensor = serializers.CharField(source="sensor.identifier", read_only=True)
    revision = serializers.IntegerField(source="number", read_only=True)
    configuration = ConfigurationField(source="values")
    comment = _comment()
    expected_revision = _expected_revision()
    state = serializers.ChoiceField(choices=RevisionState.choices, read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    created_by = serializers.SerializerMethodField(help_text="Username; null if that user was deleted.")
    published_at = serializers.DateTimeField(read_only=True, allow_null=True)
    acknowledged_at = serializers.DateTimeField(read_only=True, allow_null=True)
    failed_at = serializers.DateTimeField(read_only=True, allow_null=True)
    superseded_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def get_created_by(self, revision: Revision) -> str | None:
        """Return the author's username."""
        return revision.created_by.get_username() if revision.created_by else None


@extend_schema_field(_FLAT)
class FlatField(serializers.DictField):
    """Keys to values."""


@extend_schema_field(_CHANGED)
class ChangedField(serializers.DictField):
    """Keys to `{"from", "to"}`."""


class DiffSerializer(serializers.Serializer):
    """What leads from the revision `against` to this one."""

    revision = serializers.IntegerField()
    against = serializers.IntegerField(allow_null=True, help_text="Null: compared with an empty configuration.")
    added = FlatField()
    removed = FlatField()
    changed = ChangedField()
