"""Admin pages of users, networks, gateways, sensors and tokens."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from sensors import queries, services
from sensors.admin_base import LABEL_COLOURS, ReadOnlyAdmin, ServiceAdmin, ServiceForm, number_of
from sensors.admin_credentials import CredentialActions
from sensors.models import (
    AccessToken,
    Claim,
    ClaimCode,
    Gateway,
    Invitation,
    Membership,
    Network,
    Role,
    Sensor,
    SensorCredential,
    User,
)
from sensors.services.networks import SETTINGS

# What decides over rights: only superusers hand them out.
_RIGHTS = ("is_staff", "is_superuser", "groups")


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """Who logs in. Staff without all rights manage ordinary users and give nobody, themselves included, more."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "is_active", "is_staff", "last_login", "networks")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "first_name", "last_name", "email")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", *_RIGHTS)}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    # Single permissions come by groups: a list of all of them for each user is unreadable.
    filter_horizontal = ()
    autocomplete_fields = ("groups",)
    readonly_fields = ("last_login", "date_joined")
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return the users with the number of their networks."""
        return super().get_queryset(request).annotate(network_count=Count("memberships"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Return also the rights, unless a superuser looks."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *_RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False also for staff and superusers, unless a superuser asks: their password is their rights."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False also for staff and superusers, unless a superuser asks."""
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Delete only those whom the caller may delete one by one."""
        if not request.user.is_superuser:
            queryset = queryset.filter(is_staff=False, is_superuser=False)
        super().delete_queryset(request, queryset)

    @display(description="name")
    def full_name(self, user: User) -> str:
        """Return first and last name."""
        return user.get_full_name()

    @display(description="networks", ordering="network_count")
    def networks(self, user: Any) -> int:
        """Return in how many networks the user is a member."""
        return user.network_count


def _may_touch(request: HttpRequest, user: Any) -> bool:
    return user is None or request.user.is_superuser or not (user.is_staff or user.is_superuser)


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Sets of rights for staff who do not have all of them. What users see is decided by their networks."""

    filter_horizontal = ()

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any) -> Any:
        """Return the permissions as boxes to tick."""
        if db_field.name == "permissions":
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        return super().formfield_for_manytomany(db_field, request=request, **kwargs)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return True for superusers: a group is a way to hand out rights."""
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True for superusers."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True for superusers."""
        return bool(request.user.is_superuser)


class MemberFormSet(forms.BaseInlineFormSet):
    """The members of one network; it never loses its last owner."""

    def clean(self) -> None:
        """Refuse what would leave the network without an owner that it has now."""
        super().clean()
        if any(self.errors) or not self.instance.pk:
            return
        had = Membership.objects.filter(network=self.instance, role=Role.OWNER).exists()
        kept = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        if had and not any(form.cleaned_data.get("role") == Role.OWNER for form in kept):
            raise forms.ValidationError("The network would be left without an owner.")


class MembershipInline(TabularInline):
    """The members of a network."""

    model = Membership
    formset = MemberFormSet
    extra = 0
    autocomplete_fields = ("user",)
    fields = ("user", "role")


class NetworkForm(ServiceForm):
    """A network."""

    def carry_out(self) -> Network:
        """Make or change it."""
        changes = self.changes("name", *SETTINGS)
        if self.instance.pk:
            return services.update_network(Network.objects.get(pk=self.instance.pk), **changes)
        return services.create_network(slug=self.cleaned_data["slug"], owner=None, **changes)


@admin.register(Network)
class NetworkAdmin(ServiceAdmin):
    """Networks and their members."""

    form = NetworkForm
    fieldsets = (
        (None, {"fields": ("slug", "name", "retention_days", "rollup_retention_days")}),
        ("Silence", {"fields": (("interval_attribute", "interval_factor"), ("new_sensors", "new_after_s"))}),
    )
    constant_fields = ("slug",)
    list_display = ("slug", "name", "sensor_count", "member_count", "retention_days")
    search_fields = ("slug", "name")
    inlines = (MembershipInline,)
    goes_along = {
        "sensors": number_of(Sensor, "network"),
        "gateways": number_of(Gateway, "network"),
        "memberships": number_of(Membership, "network"),
        "invitations": number_of(Invitation, "network"),
        "claim codes": number_of(ClaimCode, "network"),
        "claims": number_of(Claim, "network"),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Network]:
        """Return the networks with the number of their sensors and members."""
        counts = {
            "sensors_in": Count("sensors", distinct=True),
            "members_in": Count("memberships", distinct=True),
        }
        return super().get_queryset(request).annotate(**counts)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save the members; who owns it no more has invited nobody."""
        super().save_formset(request, form, formset, change)
        services.end_invitations(form.instance)

    @display(description="sensors", ordering="sensors_in")
    def sensor_count(self, network: Any) -> int:
        """Return how many sensors it has."""
        return network.sensors_in

    @display(description="members", ordering="members_in")
    def member_count(self, network: Any) -> int:
        """Return how many members it has."""
        return network.members_in


class GatewayForm(ServiceForm):
    """A gateway."""

    def carry_out(self) -> Gateway:
        """Make or change it."""
        if self.instance.pk:
            return services.update_gateway(Gateway.objects.get(pk=self.instance.pk), **self.changes("name"))
        return services.create_gateway(self.cleaned_data["network"], **self.changes("identifier", "name"))


@admin.register(Gateway)
class GatewayAdmin(ServiceAdmin):
    """Gateways."""

    form = GatewayForm
    fields = ("identifier", "network", "name")
    constant_fields = ("identifier", "network")
    autocomplete_fields = ("network",)
    list_display = ("identifier", "name", "network", "sensor_count")
    list_filter = ("network",)
    list_select_related = ("network",)
    search_fields = ("identifier", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Gateway]:
        """Return the gateways with the number of their sensors."""
        return super().get_queryset(request).annotate(sensors_behind=Count("sensors"))

    @display(description="sensors", ordering="sensors_behind")
    def sensor_count(self, gateway: Any) -> int:
        """Return how many sensors report through it."""
        return gateway.sensors_behind


class SensorForm(ServiceForm):
    """A sensor."""

    def carry_out(self) -> Sensor:
        """Make or change it."""
        changes = self.changes("name", "gateway", "labels", "period_s", "grace_s")
        if self.instance.pk:
            return services.update_sensor(Sensor.objects.get(pk=self.instance.pk), now=timezone.now(), **changes)
        network, identifier = self.cleaned_data["network"], self.cleaned_data["identifier"]
        return services.create_sensor(network, identifier=identifier, **changes)


class StatusFilter(admin.SimpleListFilter):
    """Sensors by status."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the four statuses."""
        return [(status, status) for status in queries.STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Return the sensors of the chosen status."""
        return queryset.filter(status=self.value()) if self.value() in queries.STATUSES else queryset


@admin.register(Sensor)
class SensorAdmin(CredentialActions, ServiceAdmin):
    """Sensors; their configurations are on the pages of revisions."""

    form = SensorForm
    fields = (
        *("identifier", "network", "gateway", "name", "labels", "period_s", "grace_s"),
        *("status", "last_seen_at", "credential_state"),
    )
    readonly_fields = ("status", "last_seen_at", "credential_state")
    constant_fields = ("identifier", "network")
    autocomplete_fields = ("network", "gateway")
    list_display = ("identifier", "name", "network", "gateway", "status", "last_seen_at")
    list_filter = (StatusFilter, "network", ("gateway", admin.RelatedOnlyFieldListFilter))
    search_fields = ("identifier", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sensor]:
        """Return the sensors with their status as it may be judged now."""
        sensors = super().get_queryset(request).select_related("network", "gateway", "state")
        return queries.with_status(sensors, at=queries.judged_at(timezone.now()))

    def delete_model(self, request: HttpRequest, obj: Sensor) -> None:
        """Delete by the service; telemetry and the retained message at the broker go later."""
        services.delete_sensor(obj)

    @display(description="status", label=LABEL_COLOURS)
    def status(self, sensor: Any) -> str:
        """Return new, up, late or down; a sensor in the making has none."""
        return getattr(sensor, "status", "new")

    @display(description="credential", label=LABEL_COLOURS)
    def credential_state(self, sensor: Sensor) -> str:
        """Return how far its account at the broker is; the list's actions issue and revoke it."""
        credential = SensorCredential.objects.filter(sensor=sensor).first() if sensor.pk else None
        return str(credential.state) if credential else "none"

    @display(description="last seen", ordering="state__last_seen_at")
    def last_seen_at(self, sensor: Sensor) -> Any:
        """Return when it was heard last."""
        return sensor.state.last_seen_at if sensor.pk else None


class TokenChangeList(ChangeList):
    """The list of tokens, which links to them by their handle."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pk_attname = "handle"


@admin.register(AccessToken)
class AccessTokenAdmin(ReadOnlyAdmin):
    """Tokens: who has which, until when; to revoke one is to delete it. Neither token nor digest is shown.

    The digest is the primary key, so the addresses of these pages name a token by its handle.
    """

    list_display = ("label", "user", "scope", "networks", "created", "expiry", "last_used_at")
    list_filter = ("scope", "expiry")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    ordering = ("-created",)
    fields = ("name", "user", "scope", "networks", "created", "expiry", "last_used_at")
    readonly_fields = fields
    actions = None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that links by handle."""
        return TokenChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> AccessToken | None:
        """Return the token with this handle, which takes the digest's place in it: it is never saved."""
        try:
            token = self.get_queryset(request).filter(handle=UUID(object_id)).first()
        except ValueError:
            return None
        if token is not None:
            token.digest = str(token.handle)
        return token

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the caller may revoke tokens."""
        return request.user.has_perm("sensors.delete_accesstoken")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Revoke it."""
        services.end_token(self.get_queryset(request).get(handle=obj.handle))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Write no line of the admin's own: it would keep the digest. The audit log has the deletion."""
        return []

    @display(description="networks")
    def networks(self, token: AccessToken) -> str:
        """Return in which networks it works."""
        if token.network_ids is None:
            return "all"
        return ", ".join(Network.objects.filter(pk__in=token.network_ids).values_list("slug", flat=True))

    @display(description="token")
    def label(self, token: AccessToken) -> str:
        """Return what the token is for."""
        return token.name or "without a name"
