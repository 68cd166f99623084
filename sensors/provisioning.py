"""Many sensors at once, from rows of JSON or CSV; a bad row costs only itself."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from rest_framework import serializers

from sensors.api.serializers import IdentifierField, LabelsField, StrictSerializer, TextField
from sensors.errors import Invalid
from sensors.models import Gateway, Network, Sensor, User
from sensors.services import create_sensor, issue_credentials
from sensors.services.checks import MAX_SPAN_S
from sensors.services.credentials import Login

# What one call takes: about a minute of work.
MAX_ROWS: Final = 5_000
# Committed together, so that the broker begins with the first accounts while later rows are made.
ROWS_PER_TRANSACTION: Final = 100
LABEL_PREFIX: Final = "label:"


class RowSerializer(StrictSerializer):
    """One sensor to be made; texts of CSV do for the numbers."""

    identifier = IdentifierField(max_length=64)
    gateway = IdentifierField(max_length=64, required=False, allow_null=True)
    name = TextField(max_length=200, required=False, allow_blank=True)
    labels = LabelsField(required=False)
    period_s = serializers.IntegerField(min_value=1, max_value=MAX_SPAN_S, required=False)
    grace_s = serializers.IntegerField(min_value=0, max_value=MAX_SPAN_S, required=False)


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What became of one row. number: from 1 on; errors: by field, None for a sensor that was made."""

    number: int
    identifier: str
    errors: dict[str, list[str]] | None
    login: Login | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as the API and the command show it."""
        login = self.login
        return {
            "row": self.number,
            "identifier": self.identifier,
            "created": self.errors is None,
            "errors": self.errors,
            "credential": login
            and {"username": login.username, "client_id": login.client_id, "password": login.password},
        }


def read_csv(text: str) -> list[dict[str, Any]]:
    """Return the rows of a CSV file with a head: identifier, name, gateway, period_s, grace_s, label:KEY.

    Empty cells are left out. Raises Invalid for a head with other columns, or without identifier.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        known = set(RowSerializer().fields) - {"labels"}
        unknown = [name for name in columns if name not in known and not name.startswith(LABEL_PREFIX)]
        if "identifier" not in columns or unknown or len(set(columns)) != len(columns):
            what = f"has the unknown column {unknown[0]!r}" if unknown else "names no identifier, or a column twice"
            raise Invalid(f"The first line {what[:100]}; it may name {', '.join(sorted(known))} and {LABEL_PREFIX}KEY.")
        return [_cells(row) for row in reader]
    except csv.Error as error:
        raise Invalid(f"Line {reader.line_num} is no CSV: {error}.") from error


def _cells(row: Mapping[Any, Any]) -> dict[str, Any]:
    filled = {name: cell.strip() for name, cell in row.items() if isinstance(cell, str) and cell.strip()}
    labels = {name: filled.pop(name) for name in list(filled) if name.startswith(LABEL_PREFIX)}
    values: dict[str, Any] = dict(filled)
    if labels:
        values["labels"] = {name.removeprefix(LABEL_PREFIX): cell for name, cell in labels.items()}
    if None in row:
        # Where the reader puts cells beyond the head: as a field that nobody knows they are refused.
        values["beyond the head"] = row[None]
    return values


def provision_sensors(
    network: Network, rows: Sequence[Any], *, with_credentials: bool, author: User | None, now: datetime
) -> Iterator[Provisioned]:
    """Make a sensor of each row and yield what became of it, in their order; with its login where wanted.

    Refused rows change nothing, and neither stop nor undo the others. Raises Invalid for more than MAX_ROWS.
    """
    if len(rows) > MAX_ROWS:
        raise Invalid(f"{len(rows)} rows are more than {MAX_ROWS}; send them in parts.")
    gateways = dict(Gateway.objects.filter(network=network).in_bulk(field_name="identifier"))
    for start in range(0, len(rows), ROWS_PER_TRANSACTION):
        part = rows[start : start + ROWS_PER_TRANSACTION]
        with transaction.atomic():
            made = [
                _make(network, number, row, gateways, with_credentials=with_credentials)
                for number, row in enumerate(part, start=start + 1)
            ]
            sensors = [outcome for outcome in made if isinstance(outcome, Sensor)]
            logins = issue_credentials(sensors, author=author, now=now) if with_credentials else []
        by_name = {login.username: login for login in logins}
        for number, outcome in enumerate(made, start=start + 1):
            if isinstance(outcome, Sensor):
                yield Provisioned(number, outcome.identifier, None, by_name.get(outcome.identifier))
            else:
                yield outcome


def _make(
    network: Network, number: int, row: Any, gateways: Mapping[str, Gateway], *, with_credentials: bool
) -> Sensor | Provisioned:
    name = row.get("identifier") if isinstance(row, Mapping) else None
    shown = name[:64] if isinstance(name, str) else ""
    serializer = RowSerializer(data=row)
    try:
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        gateway = values.pop("gateway", None)
        if gateway is not None and gateway not in gateways:
            raise Invalid(f"There is no gateway {gateway!r} in {network.slug}.", field="gateway")
        if with_credentials and values["identifier"] in settings.MQTT_RESERVED_USERNAMES:
            raise Invalid("This is a login of the service itself; no sensor can have it.", field="identifier")
        with transaction.atomic():
            return create_sensor(network, gateway=gateways.get(gateway) if gateway else None, **values)
    except serializers.ValidationError as error:
        detail: Any = error.detail
        errors = {str(field): [str(each) for each in texts] for field, texts in detail.items()}
        return Provisioned(number, shown, errors)
    except Invalid as error:
        return Provisioned(number, shown, {error.field or "row": [error.detail]})
