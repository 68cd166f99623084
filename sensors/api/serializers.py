"""How networks, members, gateways and sensors look in JSON, and what may be sent."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.validators import RegexValidator
from django.db.models import Model, QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from sensors import queries
from sensors.errors import Invalid
from sensors.models import Gateway, Network, NewSensors, Role, Sensor
from sensors.services.checks import MAX_INTERVAL_FACTOR, MAX_RETENTION_DAYS, MAX_SPAN_S, check_labels
from sensors.wire import IDENTIFIER_PATTERN, MAX_KEY_CHARACTERS, SLUG_PATTERN, PayloadError, check_text


class StrictSerializer(serializers.Serializer):
    """Refuses what it would otherwise ignore: unknown fields, fields that are only read, and changed constants.

    `constant_fields`: what never changes after creation. Sent with the value that it has, it is accepted, so that
    what was read can be sent back.
    """

    constant_fields: tuple[str, ...] = ()

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the validated values; ValidationError names all fields that are wrong."""
        refused: dict[str, list[str]] = {}
        if isinstance(data, Mapping):
            writable = {name for name, field in self.fields.items() if not field.read_only}
            for name in data.keys() - writable:
                known = "This field is only read." if name in self.fields else "There is no such field."
                refused[str(name)[:100]] = [known]
            if self.instance is not None:
                current = {
                    name: self.fields[name].to_representation(self._value(name)) for name in self.constant_fields
                }
                for name in self.constant_fields:
                    if name in data and data[name] != current[name]:
                        refused[name] = [f"This never changes; it is {current[name]!r}."]
                data = {name: value for name, value in data.items() if name not in self.constant_fields}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if isinstance(error.detail, dict):
                raise serializers.ValidationError({**error.detail, **refused}) from error
            raise
        if refused:
            raise serializers.ValidationError(refused)
        return values

    def _value(self, name: str) -> Any:
        return self.fields[name].get_attribute(self.instance)


def refuse_body(request: Request) -> None:
    """Raise ValidationError, naming the fields, for who sends a body where none is expected."""
    StrictSerializer(data=request.data).is_valid(raise_exception=True)


class TextField(serializers.CharField):
    """A text and nothing that could be turned into one."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class IdentifierField(TextField):
    """A text of the form that `pattern` demands, taken as it is."""

    def __init__(self, pattern: str = IDENTIFIER_PATTERN, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        message = f"Not of the form {pattern}."
        self.validators.append(RegexValidator(rf"^{pattern}\Z", message))


class VisibleField(serializers.SlugRelatedField):
    """A reference by slug or identifier to something that the caller may see; else it counts as not existing."""

    default_error_messages = {
        "does_not_exist": "There is no {value!r} that you may see.",
        "invalid": "Not a text that names something.",
    }

    def __init__(self, model: type[Model], slug_field: str, **kwargs: Any) -> None:
        self.model = model
        super().__init__(slug_field=slug_field, queryset=model._default_manager.none(), **kwargs)

    def get_queryset(self) -> QuerySet:
        """Return what the caller may refer to."""
        path = "pk" if self.model is Network else "network_id"
        return queries.visible(self.context["request"].user, self.model._default_manager.all(), network=path)

    def to_internal_value(self, data: Any) -> Any:
        """Return the row that `data` names."""
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            check_text(data, "it")
            return self.get_queryset().get(**{self.slug_field: data})
        except (ObjectDoesNotExist, PayloadError):
            self.fail("does_not_exist", value=data[:100])


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"oneOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]},
        "example": {"floor": "2", "outdoor": False},
    }
)
class LabelsField(serializers.Field):
    """A flat object of strings, numbers and booleans."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the labels; ValidationError says which one is wrong."""
        try:
            return check_labels(data)
        except Invalid as error:
            raise serializers.ValidationError(error.detail) from error

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the labels as they are."""
        return value


class NetworkSerializer(StrictSerializer):
    """One network."""

    constant_fields = ("slug",)

    slug = IdentifierField(
        SLUG_PATTERN, max_length=50, help_text="Lower-case letters, digits and hyphens; never changes."
    )
    name = TextField(max_length=200, required=False, help_text="Defaults to the slug.")
    retention_days = serializers.IntegerField(
        min_value=1,
        max_value=MAX_RETENTION_DAYS,
        required=False,
        allow_null=True,
        help_text="How long telemetry is kept; null: as the server is set, by default for ever.",
    )
    rollup_retention_days = serializers.IntegerField(
        min_value=1,
        max_value=MAX_RETENTION_DAYS,
        required=False,
        allow_null=True,
        help_text="How long hourly summaries are kept, at least as long as telemetry; null: for ever.",
    )
    interval_attribute = TextField(
        max_length=MAX_KEY_CHARACTERS,
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="The key of a configuration that says how often a sensor measures, in seconds, `interval_s` by"
        " default; empty: none does.",
    )
    interval_factor = serializers.FloatField(
        min_value=1,
        max_value=MAX_INTERVAL_FACTOR,
        required=False,
        help_text="So many of those intervals are the period within which a sensor is expected to be heard, 3 by"
        " default.",
    )
    new_sensors = serializers.ChoiceField(
        choices=NewSensors.choices,
        required=False,
        help_text="Whether a sensor that was registered and never heard is silent: `ignore` (default) or `alert`.",
    )
    new_after_s = serializers.IntegerField(
        min_value=1,
        max_value=MAX_SPAN_S,
        required=False,
        help_text="With `alert`: how long after its registration, a day by default.",
    )
    role = serializers.SerializerMethodField(help_text="What you may do in it.")
    created_at = serializers.DateTimeField(read_only=True)

    @extend_schema_field(serializers.ChoiceField(choices=Role.choices))
    def get_role(self, network: Network) -> str | None:
        """Return the caller's role."""
        return getattr(network, "role", None)


class MemberSerializer(StrictSerializer):
    """One user's role in a network."""

    constant_fields = ("user",)

    user = TextField(max_length=150, source="user.username", help_text="The username.")
    role = serializers.ChoiceField(choices=Role.choices)
    created_at = serializers.DateTimeField(read_only=True)


class GatewaySerializer(StrictSerializer):
    """One gateway."""

    constant_fields = ("identifier", "network")

    identifier = IdentifierField(max_length=64, help_text="Unique among all gateways; never changes.")
    network = VisibleField(Network, "slug", help_text="Slug; never changes.")
    name = TextField(max_length=200, required=False, allow_blank=True)
    created_at = serializers.DateTimeField(read_only=True)


class LatestSerializer(serializers.Serializer):
    """A sensor's newest measurement."""

    measured_at = serializers.DateTimeField()
    revision = serializers.IntegerField()
    value = serializers.DictField()


class SensorSerializer(StrictSerializer):
    """One sensor with what its messages moved; rows need `with_status`, their state, network and gateway."""

    constant_fields = ("identifier", "network")

    identifier = IdentifierField(
        max_length=64, help_text="The last level of the sensor's MQTT topics. Unique; never changes."
    )
    network = VisibleField(Network, "slug", help_text="Slug; never changes.")
    gateway = VisibleField(
        Gateway,
        "identifier",
        required=False,
        allow_null=True,
        help_text="Identifier of a gateway in the same network, or null.",
    )
    name = TextField(max_length=200, required=False, allow_blank=True)
    labels = LabelsField(required=False)
    period_s = serializers.IntegerField(
        min_value=1, max_value=MAX_SPAN_S, required=False, help_text="How often it is expected to be heard."
    )
    grace_s = serializers.IntegerField(
        min_value=0, max_value=MAX_SPAN_S, required=False, help_text="How much later than that it may be."
    )
    status = serializers.ChoiceField(choices=queries.STATUSES, read_only=True)
    last_seen_at = serializers.DateTimeField(source="state.last_seen_at", read_only=True, allow_null=True)
    latest = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    @extend_schema_field(LatestSerializer(allow_null=True))
    def get_latest(self, sensor: Sensor) -> dict[str, Any] | None:
        """Return the newest measurement, or None while there is none."""
        state = sensor.state
        if state.latest_measured_at is None:
            return None
        # By hand: a nested serializer for each row of a page is most of what the page costs.
        return {
            "measured_at": state.latest_measured_at,
            "revision": state.latest_revision,
            "value": state.latest_value,
        }
