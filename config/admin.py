"""Admin pages of revisions: made, looked at, compared; never changed."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from config import services
from config.diff import diff
from config.models import Revision, RevisionState
from config.queries import newest, with_state
from sensors.admin_base import LABEL_COLOURS, ServiceAdmin, ServiceForm
from sensors.models import Sensor


class ValuesField(forms.JSONField):
    """A configuration; an empty one is a valid one."""

    empty_values = (None, "")

    def prepare_value(self, value: Any) -> Any:
        """Return the configuration with a line for each entry; what could not be read as it was typed."""
        return (
            json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else super().prepare_value(value)
        )


class RevisionForm(ServiceForm):
    """A new revision of a sensor; `expected_revision` is the newest that the form was filled in from."""

    form_names = {"configuration": "values"}

    values = ValuesField(
        label="Configuration",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 14, "class": "fleet-mono", "spellcheck": "false"}),
        help_text='A flat JSON object, like {"interval_s": 10, "mode": "eco"}.',
        initial=dict,
    )
    expected_revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Revision
        fields = ("sensor", "values", "comment")

    def _get_validation_exclusions(self) -> set[str]:
        # The model's field takes {} for a blank.
        return super()._get_validation_exclusions() | {"values"}  # type: ignore[misc]

    def carry_out(self) -> Revision:
        """Make it."""
        return services.create_revision(
            self.cleaned_data["sensor"],
            values=self.cleaned_data["values"],
            comment=self.cleaned_data["comment"],
            author=self.user,
            now=timezone.now(),
            expected_revision=self.cleaned_data["expected_revision"],
        )


class StateFilter(admin.SimpleListFilter):
    """Revisions by state."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states."""
        return [(state.value, state.value) for state in RevisionState]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Return the revisions in the chosen state."""
        return with_state(queryset).filter(state_text=self.value()) if self.value() in RevisionState else queryset


@admin.register(Revision)
class RevisionAdmin(ServiceAdmin):
    """Revisions. To change a configuration is to make the next one; they are deleted with their sensor only."""

    form = RevisionForm
    add_fields = ("sensor", "values", "comment", "expected_revision")
    fields = (
        "sensor",
        "number",
        "state_label",
        "configuration",
        "changes",
        "comment",
        "created_at",
        "created_by",
        "published_at",
        "acknowledged_at",
        "failed_at",
        "superseded_at",
        "next_steps",
    )
    readonly_fields = ("number", "state_label", "configuration", "changes", "created_at", "created_by", "next_steps")
    autocomplete_fields = ("sensor",)
    list_display = ("title", "state_label", "comment", "created_at", "created_by", "published_at", "acknowledged_at")
    list_filter = (StateFilter, "sensor__network")
    list_select_related = ("sensor", "created_by")
    search_fields = ("sensor__identifier", "sensor__name", "comment")
    ordering = ("-created_at", "-id")

    def get_fieldsets(self, request: HttpRequest, obj: Revision | None = None) -> Any:
        """Return the form's fields, or what is shown of a revision that is there."""
        return [(None, {"fields": self.fields if obj else self.add_fields})]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the sensor's newest configuration, or the revision named by `from`, to start from."""
        initial: dict[str, Any] = {}
        identifier, number = request.GET.get("sensor", ""), request.GET.get("from", "")
        sensor = Sensor.objects.filter(pk=identifier).first() if _is_number(identifier) else None
        if sensor is None:
            return initial
        latest = newest(sensor)
        initial = {"sensor": sensor.pk, "expected_revision": latest.number if latest else -1}
        source = latest
        if _is_number(number):
            source = Revision.objects.filter(sensor=sensor, number=number).first() or latest
            initial["comment"] = f"Restored from revision {number}" if source and source != latest else ""
        if source is not None:
            initial["values"] = source.values
        return initial

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: a revision is immutable."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: it goes with its sensor."""
        return False

    @display(description="revision", ordering="sensor__identifier")
    def title(self, revision: Revision) -> str:
        """Return sensor and number."""
        return f"{revision.sensor.identifier} · {revision.number}"

    @display(description="state", label=LABEL_COLOURS)
    def state_label(self, revision: Revision) -> str:
        """Return the state."""
        return revision.state.value

    @display(description="configuration")
    def configuration(self, revision: Revision) -> SafeString:
        """Return its entries as a table."""
        rows = [("", key, "", _as_json(value)) for key, value in sorted(revision.values.items())]
        return render_to_string("config/admin/entries.html", {"rows": rows})

    @display(description="changes to the one before")
    def changes(self, revision: Revision) -> SafeString | str:
        """Return what is different from the revision before it."""
        before = Revision.objects.filter(sensor=revision.sensor_id, number=revision.number - 1).first()
        if before is None:
            return "This is the first one."
        found = diff(before.values, revision.values)
        rows = [("added", key, "", _as_json(value)) for key, value in found.added.items()]
        rows += [("removed", key, _as_json(value), "") for key, value in found.removed.items()]
        rows += [("changed", key, _as_json(old), _as_json(new)) for key, (old, new) in found.changed.items()]
        return render_to_string("config/admin/entries.html", {"rows": rows, "compared": True}) if rows else "None."

    @display(description="go on")
    def next_steps(self, revision: Revision) -> SafeString:
        """Return links to a new revision made of this one, and to all of the sensor's."""
        return format_html(
            '<a href="{}?sensor={}&amp;from={}">New revision from this one</a> · '
            '<a href="{}?q={}">All of this sensor</a>',
            reverse("admin:config_revision_add"),
            revision.sensor_id,
            revision.number,
            reverse("admin:config_revision_changelist"),
            revision.sensor.identifier,
        )


def _as_json(value: Any) -> str:
    return forms.JSONField().prepare_value(value)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
