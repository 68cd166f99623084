"""The admin page of users, with what only this package can do: links for passwords, and an end of second factors."""

from typing import Any

from allauth.account.admin import EmailAddressAdmin
from allauth.account.models import EmailAddress
from allauth.mfa.admin import AuthenticatorAdmin
from allauth.mfa.models import Authenticator
from allauth.usersessions.admin import UserSessionAdmin
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from unfold.decorators import action, display

from fleet.accounts import second_factor
from fleet.accounts.links import mail_password_link, password_link
from sensors.admin import UserAdmin
from sensors.admin_base import ask_first
from sensors.errors import DomainError
from sensors.models import User

__all__ = ["AuthenticatorAdmin", "EmailAddressAdmin", "UserSessionAdmin"]

# Imported above, so that they are registered: they would show secrets, and hold nothing that staff need.
for model in (Authenticator, EmailAddress, UserSession):
    if admin.site.is_registered(model):
        admin.site.unregister(model)

# What one page of messages can hold.
MOST = 20

admin.site.unregister(User)


class NewUserForm(UserAdmin.add_form):  # type: ignore[name-defined]
    """A new user; who makes one need not think up a password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("usable_password")
        if field is not None:
            field.initial = "false"
            field.help_text = "Disabled: you get a link by which they set their first password themselves."


@admin.register(User)
class PeopleAdmin(UserAdmin):
    """Who logs in."""

    add_form = NewUserForm
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("username", "email", "usable_password", "password1", "password2")}),
    )
    list_display = (*UserAdmin.list_display, "two_factor")  # type: ignore[assignment]
    actions = ("send_password_link", "end_second_factor")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Return the users with whether each has a second factor."""
        codes = Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.TOTP)
        return super().get_queryset(request).annotate(has_two_factor=Exists(codes))

    def save_model(self, request: HttpRequest, obj: User, form: forms.Form, change: bool) -> None:
        """Save; show the link for the first password of who has none."""
        super().save_model(request, obj, form, change)  # type: ignore[arg-type]
        if not change and not obj.has_usable_password():
            self._show_link(request, obj)

    @display(description="two-factor", boolean=True, ordering="has_two_factor")
    def two_factor(self, user: Any) -> bool:
        """Return whether logging in takes a code."""
        return user.has_two_factor

    @action(description="Make a link to set the password", permissions=["change"])
    def send_password_link(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Make links, show them, and send them where there is mail."""
        for user in self._allowed(request, queryset):
            self._show_link(request, user)

    @action(description="Switch off two-factor authentication", permissions=["change"])
    def end_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """Let people in who lost their phone and their recovery codes, after a question; their sessions end."""
        users = self._allowed(request, queryset)
        if users and request.POST.get("confirmed") != "yes":
            question = "Switch off the second factor of these users? The password alone lets them in then."
            return ask_first(self, request, question, users, "end_second_factor")
        for user in users:
            if second_factor.turn_off(user) is not None:
                self.message_user(request, f"{user} logs in with the password alone now.", messages.SUCCESS)
            else:
                self.message_user(request, f"{user} had no second factor.", messages.INFO)
        return None

    def _allowed(self, request: HttpRequest, queryset: QuerySet[User]) -> list[User]:
        """Return those of the chosen users whom the caller may change one by one."""
        chosen = list(queryset.order_by("username")[: MOST + 1])
        if len(chosen) > MOST:
            self.message_user(request, f"At most {MOST} at once; nothing was done.", messages.ERROR)
            return []
        allowed = [user for user in chosen if self.has_change_permission(request, user)]
        for user in chosen:
            if user not in allowed:
                self.message_user(request, f"Only a superuser may do this with {user}.", messages.ERROR)
        return allowed

    def _show_link(self, request: HttpRequest, user: User) -> None:
        try:
            link = password_link(user, request)
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return
        sent = f" It is on its way to {user.email}, too." if mail_password_link(user, link) else ""
        words = "A link by which {} sets a password, once, within three days; it is shown this once: {}{}"
        self.message_user(request, format_html(words, user, link, sent), messages.WARNING)
