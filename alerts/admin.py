"""Admin pages of rules, alerts, silences and notifications."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminPasswordWidget

from alerts import services
from alerts.delivery.urls import MAX_URL_CHARACTERS
from alerts.models import (
    Alert,
    Notification,
    NotificationState,
    NotificationTarget,
    Rule,
    RuleKind,
    RuleScope,
    Silence,
)
from alerts.rendering import RULE_FIELDS
from sensors.admin_base import LABEL_COLOURS, ReadOnlyAdmin, ServiceAdmin, ServiceForm, number_of
from sensors.errors import DomainError
from sensors.models import User

_LIMITS = tuple(dict.fromkeys(name for names in RULE_FIELDS.values() for name in names))


class RuleForm(ServiceForm):
    """A rule. Which limits count depends on the kind; the service says so where one is too many."""

    def carry_out(self) -> Rule:
        """Make or change it."""
        values = self.cleaned_data
        scope = {
            "sensors": list(values["sensors"]) if values["scope"] == RuleScope.SENSORS else None,
            "labels": values["labels"] if values["scope"] == RuleScope.LABELS else None,
        }
        given = self.changes("name", "enabled", "severity", *_LIMITS) | scope
        if self.instance.pk:
            rule = Rule.objects.get(pk=self.instance.pk)
            return services.update_rule(rule, now=timezone.now(), scope=values["scope"], **given)
        return services.create_rule(values["network"], kind=values["kind"], author=self.user, **given)


@admin.register(Rule)
class RuleAdmin(ServiceAdmin):
    """What to watch. An edit resolves what was open by the old form."""

    form = RuleForm
    fieldsets = (
        (None, {"fields": ("network", "kind", "name", "severity", "enabled")}),
        ("For which sensors", {"fields": ("scope", "sensors", "labels")}),
        ("Threshold", {"fields": ("attribute", ("above", "below"), "hysteresis", ("for_s", "keep_firing_s"))}),
        ("Silence of a sensor, gateway or bridge", {"fields": (("period_s", "grace_s"), "share")}),
        ("Log messages", {"fields": ("log_severity", "count")}),
        ("Log messages or silence of a gateway", {"fields": ("window_s",)}),
        ("Configurations", {"fields": ("timeout_s",)}),
    )
    constant_fields = ("network", "kind")
    autocomplete_fields = ("network", "sensors")
    list_display = ("name", "network", "kind", "watched", "severity_label", "enabled")
    list_filter = ("kind", "severity", "enabled", "network")
    list_select_related = ("network",)
    search_fields = ("name", "attribute")

    def delete_model(self, request: HttpRequest, obj: Rule) -> None:
        """Delete by the service, which resolves its open alerts."""
        services.delete_rule(obj, now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        """Delete each by the service."""
        for rule in queryset:
            services.delete_rule(rule, now=timezone.now())

    @display(description="watches")
    def watched(self, rule: Rule) -> str:
        """Return in short what it looks at."""
        limits = [
            f"> {rule.above:g}" if rule.above is not None else "",
            f"< {rule.below:g}" if rule.below is not None else "",
        ]
        if rule.attribute:
            return f"{rule.attribute} {' or '.join(filter(None, limits))}"
        if rule.kind == RuleKind.BRIDGE_AWAY:
            return "bridges"
        if rule.kind == RuleKind.LOG_SEVERITY:
            return f"{rule.count} × {rule.log_severity} in {rule.window_s} s"
        if rule.kind == RuleKind.CONFIGURATION_FAILURE:
            return f"refused, or no answer in {rule.timeout_s} s"
        return f"{rule.share:.0%} silent" if rule.kind == RuleKind.GATEWAY_SILENCE else "silence"

    @display(description="severity", label=LABEL_COLOURS)
    def severity_label(self, rule: Rule) -> str:
        """Return the severity."""
        return rule.severity


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """What was violated. Made by the evaluation; people acknowledge and resolve."""

    list_display = ("about", "rule_name", "state_label", "severity_label", "value", "started_at", "acknowledged_by")
    list_filter = ("state", "severity", "flapping", "network")
    list_select_related = ("acknowledged_by", "network")
    search_fields = ("rule_name", "sensor_identifier", "gateway_identifier")
    ordering = ("-started_at", "-id")
    actions = ("acknowledge", "resolve")
    fields = (
        "network",
        "rule_name",
        "sensor_identifier",
        "gateway_identifier",
        "state",
        "severity",
        "value",
        "started_at",
        "fired_at",
        "resolved_at",
        "resolution",
        "resolved_by",
        "acknowledged_at",
        "acknowledged_by",
        "acknowledgement",
        "backfilled",
        "flapping",
        "members",
        "detail",
        "rule_snapshot",
    )
    readonly_fields = fields

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Return whether the caller may handle alerts."""
        return request.user.has_perm("alerts.change_alert")

    @action(description="Acknowledge", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Acknowledge the chosen alerts."""
        now, user = timezone.now(), _user(request)
        self._each(request, queryset, lambda alert: services.acknowledge_alert(alert, user=user, now=now))

    @action(description="Resolve", permissions=["operate"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Resolve the chosen alerts."""
        now, user = timezone.now(), _user(request)
        self._each(request, queryset, lambda alert: services.resolve_alert(alert, user=user, now=now))

    def _each(self, request: HttpRequest, queryset: QuerySet[Alert], handle: Callable[[Alert], Any]) -> None:
        done = 0
        for alert in queryset:
            try:
                handle(alert)
            except DomainError as error:
                self.message_user(request, f"{alert}: {error.detail}", messages.WARNING)
            else:
                done += 1
        self.message_user(request, f"Done for {done} of {queryset.count()} alerts.", messages.SUCCESS)

    @display(description="about")
    def about(self, alert: Alert) -> str:
        """Return whom it is about."""
        return alert.sensor_identifier or alert.gateway_identifier or "bridges"

    @display(description="state", label=LABEL_COLOURS)
    def state_label(self, alert: Alert) -> str:
        """Return the state."""
        return alert.state

    @display(description="severity", label=LABEL_COLOURS)
    def severity_label(self, alert: Alert) -> str:
        """Return the severity."""
        return alert.severity


def _user(request: HttpRequest) -> User:
    # Nobody else passes the admin's door.
    return cast(User, request.user)


class SilenceForm(ServiceForm):
    """A silence; its network is that of what it matches."""

    class Meta:
        model = Silence
        fields = ("matchers", "starts_at", "ends_at", "comment")
        help_texts = {
            "matchers": 'All must match: {"network": …, "sensor": …, "rule": id, "severity": …, "label": "key:value"}.'
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "starts_at" in self.fields and not self.instance.pk:
            self.fields["starts_at"].initial = timezone.now

    def carry_out(self) -> Silence:
        """Make or change it."""
        changes = self.changes("starts_at", "ends_at", "comment")
        if self.instance.pk:
            return services.update_silence(Silence.objects.get(pk=self.instance.pk), **changes)
        return services.create_silence(
            user=self.user, matchers=self.cleaned_data["matchers"], now=timezone.now(), **changes
        )

    def _get_validation_exclusions(self) -> set[str]:
        # The network is found by the service.
        return super()._get_validation_exclusions() | {"network"}  # type: ignore[misc]


@admin.register(Silence)
class SilenceAdmin(ServiceAdmin):
    """Spans of time in which matching alerts disturb nobody."""

    form = SilenceForm
    fields = ("matchers", "starts_at", "ends_at", "comment")
    constant_fields = ("matchers",)
    list_display = ("comment_text", "network", "matchers", "starts_at", "ends_at", "created_by")
    list_filter = ("network",)
    list_select_related = ("network", "created_by")
    search_fields = ("comment",)

    @display(description="silence")
    def comment_text(self, silence: Silence) -> str:
        """Return the comment, or until when it holds."""
        return str(silence)


_TARGET_OPTIONS = (
    "name",
    "least_severity",
    "tell_resolved",
    "group_wait_s",
    "repeat_interval_s",
    "escalate_after_s",
    "enabled",
)


class TargetForm(ServiceForm):
    """A notification target. Its address is typed and never shown."""

    url = forms.CharField(
        label="Address",
        required=False,
        max_length=MAX_URL_CHARACTERS,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="As apprise writes them, like mailtos://… or slack://…; kept encrypted and never shown again.",
    )

    class Meta:
        model = NotificationTarget
        fields = _TARGET_OPTIONS
        labels = {
            "least_severity": "From severity",
            "tell_resolved": "Also of the end",
            "escalate_after_s": "Only after (s)",
            "group_wait_s": "Gathers for (s)",
            "repeat_interval_s": "Repeats every (s)",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "url" in self.fields:
            self.fields["url"].label = "New address"
            self.fields["url"].help_text = "Empty: the one that is set stays, which is never shown."

    def clean_url(self) -> str:
        """Return the address, which a new target must have."""
        url: str = self.cleaned_data["url"].strip()
        if not url and not self.instance.pk:
            raise forms.ValidationError("A new target needs an address.")
        return url

    def carry_out(self) -> NotificationTarget:
        """Make or change it."""
        values, now = self.cleaned_data, timezone.now()
        options = self.changes(*_TARGET_OPTIONS)
        if self.instance.pk:
            target = NotificationTarget.objects.get(pk=self.instance.pk)
            return services.update_target(target, now=now, url=values["url"] or None, **options)
        return services.create_target(values["network"], url=values["url"], author=self.user, now=now, **options)

    def _get_validation_exclusions(self) -> set[str]:
        # Made of the address by the service.
        return super()._get_validation_exclusions() | {"scheme", "encrypted_url"}  # type: ignore[misc]


@admin.register(NotificationTarget)
class NotificationTargetAdmin(ServiceAdmin):
    """Where people are told of alerts."""

    form = TargetForm
    add_fieldsets = (
        (None, {"fields": ("network", "name", "url", "enabled")}),
        ("What is told", {"fields": ("least_severity", "tell_resolved", "escalate_after_s")}),
        ("When", {"fields": ("group_wait_s", "repeat_interval_s")}),
    )
    fieldsets = (
        (None, {"fields": ("network", "name", "address", "address_set_at", "url", "enabled")}),
        *add_fieldsets[1:],
        ("The last message", {"fields": ("last_sent_at", "last_failed_at", "last_error", "retry_at")}),
    )
    readonly_fields = ("address", "address_set_at", "last_sent_at", "last_failed_at", "last_error", "retry_at")
    constant_fields = ("network",)
    autocomplete_fields = ("network",)
    list_display = (
        "name", "network", "address", "severity_label", "enabled", "last_message", "last_error", "last_sent_at",
        "retry_at",
    )  # fmt: skip
    list_filter = ("enabled", "least_severity", "network")
    list_select_related = ("network",)
    search_fields = ("name",)
    goes_along = {"notifications": number_of(Notification, "target")}
    actions = ("send_test",)

    def get_fieldsets(self, request: HttpRequest, obj: NotificationTarget | None = None) -> Any:
        """Return what there is to fill in; of a target that is there also what deliveries wrote."""
        return super().get_fieldsets(request, obj) if obj is not None else self.add_fieldsets

    @display(description="from severity", label=LABEL_COLOURS)
    def severity_label(self, target: NotificationTarget) -> str:
        """Return the least severity that is told."""
        return target.least_severity

    @display(description="address set at")
    def address_set_at(self, target: NotificationTarget) -> datetime:
        """Return when the address became what it is."""
        return target.url_changed_at

    @display(description="last message", label=LABEL_COLOURS)
    def last_message(self, target: NotificationTarget) -> str | None:
        """Return what became of it."""
        if target.last_error:
            return NotificationState.FAILED.value
        return NotificationState.SENT.value if target.last_sent_at else None

    @action(description="Send a test message", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[NotificationTarget]) -> None:
        """Send a message to the chosen targets, one after the other, and say what became of it."""
        for target in queryset:
            try:
                tried, is_sent = services.try_target(target, now=timezone.now())
            except DomainError as error:
                self.message_user(request, f"{target}: {error.detail}", messages.WARNING)
            else:
                text, level = (
                    ("The message was taken.", messages.SUCCESS) if is_sent else (tried.last_error, messages.ERROR)
                )
                self.message_user(request, f"{target}: {text}", level)


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """What targets are, or were, to be told. Made by the alerts' transitions."""

    list_display = (
        "told", "alert", "target", "network", "state_label", "due_at", "sent_at", "attempts", "last_error",
    )  # fmt: skip
    list_filter = ("state", "event", ("target", admin.RelatedOnlyFieldListFilter), "target__network")
    list_select_related = ("alert", "target__network")
    search_fields = ("alert__rule_name", "alert__sensor_identifier", "alert__gateway_identifier", "target__name")
    ordering = ("-id",)
    fields = (
        "alert", "target", "network", "told", "state", "created_at", "due_at", "sent_at", "attempts", "last_error",
    )  # fmt: skip
    readonly_fields = fields

    @display(description="told", ordering="event")
    def told(self, notification: Notification) -> str:
        """Return the event; of repeats which one."""
        event = str(notification.get_event_display())
        return f"{event} {notification.number}" if notification.number else event

    @display(description="network", ordering="target__network")
    def network(self, notification: Notification) -> str:
        """Return the target's network."""
        return str(notification.target.network)

    @display(description="state", label=LABEL_COLOURS)
    def state_label(self, notification: Notification) -> str:
        """Return the state."""
        return notification.state
