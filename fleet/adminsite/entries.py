"""Telemetry in the admin: measurements, heartbeats and log messages of a sensor, newest first, never edited.

Their tables have composite keys, which the admin's own pages cannot show. Pages go on by key, so the millionth
entry costs no more than the first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from sensors.errors import Invalid
from sensors.models import Sensor
from sensors.queries import visible_sensors
from telemetry import queries
from telemetry.models import Heartbeat, LogMessage, Measurement, Severity

PAGE: Final = 100
# Sensors that the page offers while none is chosen.
OFFERED: Final = 50


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three kinds of entries: its heading, model, columns, and the cells of a row."""

    title: str
    model: Any
    columns: tuple[str, ...]
    entries: Callable[..., QuerySet]
    cells: Callable[[Any], tuple[Any, ...]]


def _measurement(row: Measurement) -> tuple[Any, ...]:
    return (msgspec.json.format(msgspec.json.encode(row.value), indent=0).decode(),)


KINDS: Final = {
    "measurements": Kind("Measurements", Measurement, ("value",), queries.measurements_of, _measurement),
    "heartbeats": Kind(
        "Heartbeats",
        Heartbeat,
        ("applied",),
        queries.heartbeats_of,
        lambda row: ("yes" if row.success else "no",),
    ),
    "log-messages": Kind(
        "Log messages",
        LogMessage,
        ("severity", "subject", "details"),
        queries.log_messages_of,
        lambda row: (row.severity, row.subject, row.details or ""),
    ),
}


class EntriesForm(forms.Form):
    """Which entries to show."""

    sensor = forms.CharField(
        required=False, max_length=64, widget=UnfoldAdminTextInputWidget(attrs={"list": "sensors"})
    )
    start = forms.DateTimeField(required=False, widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}))
    end = forms.DateTimeField(required=False, widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}))
    severity = forms.ChoiceField(
        required=False, choices=[("", "any severity"), *Severity.choices], widget=UnfoldAdminSelectWidget
    )
    before = forms.RegexField(r"^\d{1,20}_-?\d{1,20}$", required=False, widget=forms.HiddenInput)


def entries_page(request: HttpRequest, kind: str, site: AdminSite) -> HttpResponse:
    """Show a page of entries of one sensor in a range of time."""
    chosen = KINDS.get(kind)
    if chosen is None:
        raise Http404
    if not request.user.has_perm(f"telemetry.view_{chosen.model._meta.model_name}"):
        raise PermissionDenied
    form = EntriesForm(request.GET)
    if kind != "log-messages":
        del form.fields["severity"]
    page = _Page()
    if form.is_valid():
        page = _read(chosen, form, request)
    context = {
        **site.each_context(request),
        "title": chosen.title,
        "kind": kind,
        "kinds": [(slug, one.title) for slug, one in KINDS.items() if _may_see(request, one)],
        "form": form,
        "columns": ("measured at", "received at", "revision", *chosen.columns),
        "page": page,
        "offered": visible_sensors(request.user).order_by("-state__last_seen_at", "identifier")[:OFFERED],
        "newest": reverse("admin:telemetry_entries", args=[kind]) + "?" + _query(form, before=None),
        "older": reverse("admin:telemetry_entries", args=[kind]) + "?" + _query(form, before=page.older),
    }
    request.current_app = site.name  # type: ignore[attr-defined]
    return TemplateResponse(request, "fleet/admin/entries.html", context)


@dataclass(slots=True)
class _Page:
    sensor: Sensor | None = None
    rows: list[tuple[Any, ...]] | None = None
    older: str | None = None


def _read(kind: Kind, form: EntriesForm, request: HttpRequest) -> _Page:
    values = form.cleaned_data
    if not values["sensor"]:
        return _Page()
    sensor = visible_sensors(request.user).filter(identifier=values["sensor"]).first()
    if sensor is None:
        form.add_error("sensor", "There is no such sensor.")
        return _Page()
    options: dict[str, Any] = {"start": values["start"], "end": values["end"]}
    if values.get("severity"):
        options["severities"] = [values["severity"]]
    entries = kind.entries(sensor, **options)
    if values["before"]:
        at, digest = _position(values["before"])
        entries = entries.filter(Q(measured_at__lt=at) | Q(measured_at=at, digest__lt=digest))
    try:
        with queries.time_limit():
            found = list(entries[: PAGE + 1])
    except Invalid as error:
        form.add_error("start", error.detail)
        return _Page(sensor)
    older = None
    if len(found) > PAGE:
        found.pop()
        last = found[-1]
        older = f"{(last.measured_at - _EPOCH) // timedelta(microseconds=1)}_{last.digest}"
    rows = [(row.measured_at, row.received_at, row.revision, *kind.cells(row)) for row in found]
    return _Page(sensor, rows, older)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Beyond these neither a datetime nor a bigint holds them.
_MOST_US: Final = 253_402_300_799_999_999
_MOST_DIGEST: Final = 2**63 - 1


def _position(text: str) -> tuple[datetime, int]:
    microseconds, _, digest = text.partition("_")
    at = _EPOCH + timedelta(microseconds=min(int(microseconds), _MOST_US))
    return at, max(-_MOST_DIGEST, min(_MOST_DIGEST, int(digest)))


def _may_see(request: HttpRequest, kind: Kind) -> bool:
    return bool(request.user.has_perm(f"telemetry.view_{kind.model._meta.model_name}"))


def _query(form: EntriesForm, *, before: str | None) -> str:
    values = {name: form.data.get(name, "") for name in ("sensor", "start", "end", "severity")}
    return urlencode({name: value for name, value in {**values, "before": before}.items() if value})
