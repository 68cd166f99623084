"""Pages of people's accounts, besides what allauth has: the address, sessions, registering, invitations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.account import views as account
from allauth.account.decorators import reauthentication_required
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from fleet.accounts import second_factor
from fleet.accounts.forms import EmailForm, NewUserForm
from fleet.accounts.sessions import end_session, end_sessions, sessions_of
from fleet.login import limit_attempts
from sensors import mail, services
from sensors.errors import DomainError, NotFound
from sensors.limits.attempts import MailThrottle, RegistrationThrottle
from sensors.models import Invitation, Membership, Role, User


def account_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the page of one's account shows."""
    user = _user(request)
    return {
        "two_factor": second_factor.is_on(user),
        "recovery_codes_left": second_factor.recovery_codes_left(user),
        "sessions": sessions_of(user, current=request.session.session_key),
        "has_password": user.has_usable_password(),
    }


class LoginView(account.LoginView):
    """Username and password; then the code, where there is a second factor."""

    def get_context_data(self, **kwargs: Any) -> dict:
        """Return also whether anybody may make an account, and whether one wants to be somebody else."""
        return super().get_context_data(**kwargs) | {
            "may_register": settings.SELF_REGISTRATION,
            "instead": "instead" in self.request.GET,
        }

    def form_valid(self, form: Any) -> HttpResponse:
        """Go on to the code or let them in; whoever was logged in here before is so no more."""
        if self.request.user.is_authenticated:
            # allauth asks nobody for a code who is logged in, be it as somebody else.
            logout(self.request)
        return super().form_valid(form)


class CodeView(AuthenticateView):
    """The code that a login needs besides the password."""

    def _build_forms(self) -> Any:
        """Return the form of codes; allauth takes what came without one for the answer of a security key."""
        self.webauthn_form = None
        data = self.request.POST if self.request.method == "POST" else None
        self.auth_form = self.get_form_class()(user=self.stage.login.user, data=data)
        return self.auth_form


class PasswordChangeView(account.PasswordChangeView):
    """The old password and a new one; one's other sessions end."""

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        """Change it."""
        response = super().form_valid(form)
        end_sessions(_user(self.request), but=self.request.session.session_key)
        return response


class PasswordResetView(account.PasswordResetView):
    """Asks for a link by mail; says the same whether there is such an address."""

    def get_context_data(self, **kwargs: Any) -> dict:
        """Return also whether there is mail at all."""
        return super().get_context_data(**kwargs) | {"mail": mail.is_configured()}


class NewPasswordView(account.PasswordResetFromKeyView):
    """A new password, or the first one, by a link; all sessions end."""

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        """Set it."""
        with _done_by(self.request, self.reset_user):
            response = super().form_valid(form)
        end_sessions(self.reset_user)
        return response


@method_decorator(login_required, name="dispatch")
class ActivateView(ActivateTOTPView):
    """Switches the second factor on; one's other sessions end, which began without it.

    Only for who is logged in: allauth keeps in a session what anybody else sent, for when they are.
    """

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        """Do it, and say so in the history."""
        response = super().form_valid(form)
        second_factor.use_up(_user(self.request), form.cleaned_data["code"])
        second_factor.audit(_user(self.request), "on")
        end_sessions(_user(self.request), but=self.request.session.session_key)
        return response


class DeactivateView(DeactivateTOTPView):
    """Switches the second factor off; one's other sessions end."""

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        """Do it, and say so in the history."""
        response = super().form_valid(form)
        second_factor.audit(_user(self.request), "off")
        end_sessions(_user(self.request), but=self.request.session.session_key)
        messages.success(self.request, "Two-factor authentication is off. Your other sessions have ended.")
        return response


@method_decorator(login_required, name="dispatch")
class RecoveryCodesView(GenerateRecoveryCodesView):
    """Makes new recovery codes; the older ones end. Only for who is logged in, as above."""

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        """Do it, and say so in the history."""
        response = super().form_valid(form)
        second_factor.audit(_user(self.request), "new recovery codes")
        return response


@never_cache
@login_required
@reauthentication_required(app="allauth.account")
@require_http_methods(["GET", "POST"])
def change_email(request: HttpRequest) -> HttpResponse:
    """Change the address to which links are sent; the old one is told."""
    user = _user(request)
    form = EmailForm(request.POST if request.method == "POST" else None, initial={"email": user.email})
    before = user.email
    if form.is_valid() and before not in ("", form.cleaned_data["email"]):
        try:
            limit_attempts(request, MailThrottle(), user.get_username(), what="to send mail")
        except ValidationError as error:
            form.add_error("email", error)
    if not form.is_valid():
        return render(request, "dashboard/account_email.html", {"form": form})
    now = form.cleaned_data["email"]
    if now != before:
        # Links that went to the older address end with it: their hash holds it. With its entry in the history.
        with transaction.atomic():
            user.email = now
            user.save(update_fields=["email"])
        if before and mail.is_configured():
            text = (
                f"The e-mail address of the account {user.get_username()} was changed; links for it are not sent here"
                " any more. If it was not you, ask an administrator at once.\n"
            )
            mail.send_text(before, subject="Your e-mail address was changed", text=text)
        messages.success(request, f"Links are sent to {now} now." if now else "You have no e-mail address now.")
    return redirect("account")


@login_required
@require_POST
def end_one_session(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of one's sessions."""
    if not end_session(_user(request), pk):
        messages.info(request, "That session had ended already.")
    else:
        messages.success(request, "The session has ended.")
    return redirect("account")


@login_required
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """End all of one's sessions but this one."""
    ended = end_sessions(_user(request), but=request.session.session_key)
    messages.success(request, f"{ended} other session{'' if ended == 1 else 's'} ended.")
    return redirect("account")


@method_decorator(login_required, name="dispatch")
class ConfirmView(account.ReauthenticateView):
    """Asks for the password again."""


@never_cache
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    """Make oneself a user, where SELF_REGISTRATION allows it."""
    if not settings.SELF_REGISTRATION:
        return render(request, "dashboard/register_closed.html", status=403)
    form = NewUserForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and _within_limit(request, form) and form.is_valid():
        with _done_by(request, form.instance):
            user = form.save_if_free()
        if user is not None:
            login(request, user)
            return HttpResponseRedirect(settings.LOGIN_REDIRECT_URL)
    return render(request, "dashboard/register.html", {"form": form})


@never_cache
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Show what an invitation offers; accept it, as who one is or as a new user."""
    try:
        found = services.find_invitation(secret)
        services.refuse_unless_open(found, now=timezone.now())
        if request.method == "POST":
            return _accept(request, found, secret)
    except NotFound as error:
        return render(request, "dashboard/invitation_refused.html", {"why": error.detail}, status=404)
    except DomainError as error:
        return render(request, "dashboard/invitation_refused.html", {"why": error.detail}, status=410)
    form = None if request.user.is_authenticated else NewUserForm(initial={"email": found.email})
    return _show(request, found, form)


def _accept(request: HttpRequest, found: Invitation, secret: str) -> HttpResponse:
    """Make the caller a member, or a new user who is one: both or neither."""
    now = timezone.now()
    if request.user.is_authenticated:
        services.accept_invitation(secret, user=_user(request), now=now)
        return _to_network(request, found)
    form = NewUserForm(request.POST)
    if not (_within_limit(request, form) and form.is_valid()):
        return _show(request, found, form)
    with _done_by(request, form.instance), transaction.atomic():
        user = form.save_if_free()
        if user is not None:
            services.accept_invitation(secret, user=user, now=now)
    if user is None:
        return _show(request, found, form)
    login(request, user)
    return _to_network(request, found)


def _to_network(request: HttpRequest, found: Invitation) -> HttpResponse:
    return HttpResponseRedirect(f"{settings.LOGIN_REDIRECT_URL}?network={found.network.slug}")


def _show(request: HttpRequest, found: Invitation, form: NewUserForm | None) -> HttpResponse:
    role = None
    if form is None:
        role = (
            Membership.objects.filter(network=found.network, user=_user(request)).values_list("role", flat=True).first()
        )
    context = {
        "invitation": found,
        "form": form,
        "own_role": role,
        "gains": role is None or Role(role).rank < Role(found.role).rank,
    }
    return render(request, "dashboard/invitation.html", context)


def _within_limit(request: HttpRequest, form: NewUserForm) -> bool:
    """Count an attempt to make a user; beyond the limit the form says so."""
    try:
        limit_attempts(request, RegistrationThrottle(), "", what="to register")
    except ValidationError as error:
        form.full_clean()
        form.add_error(None, error)
        return False
    return True


@contextmanager
def _done_by(request: HttpRequest, user: User) -> Iterator[None]:
    """Let the audit log name `user`, who is about to come in, as who did what is done within."""
    before, request.user = request.user, user
    try:
        yield
    finally:
        request.user = before


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise Http404
    return request.user
