"""Addresses of people's accounts. Those of allauth are named one by one: what is not here cannot be reached."""

from typing import Any, Final

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from django.contrib.auth.views import LogoutView
from django.urls import path, re_path
from django.views.decorators.cache import never_cache

from fleet.accounts import views
from fleet.dashboard import views as pages

_log_in: Final = views.LoginView.as_view()
_log_out: Final = LogoutView.as_view()
_change_password: Final = views.PasswordChangeView.as_view()
_forgotten: Final = views.PasswordResetView.as_view()


def _named(route: str, view: Any, *names: str) -> list[Any]:
    """Return the address under this service's name and under allauth's, which it looks up."""
    return [path(route, never_cache(view), name=name) for name in names]


urlpatterns = [
    *_named("login/", _log_in, "login", "account_login", "account_inactive"),
    *_named("login/code/", views.CodeView.as_view(), "mfa_authenticate"),
    *_named("logout/", _log_out, "logout", "account_logout"),
    *_named("register/", views.register, "register"),
    *_named("invitations/<str:secret>/", views.invitation, "invitation"),
    *_named("password/", _change_password, "password_change", "account_change_password"),
    *_named("password/done/", pages.password_changed, "password_change_done"),
    *_named("password/forgotten/", _forgotten, "account_reset_password", "account_set_password"),
    *_named("password/forgotten/sent/", account.PasswordResetDoneView.as_view(), "account_reset_password_done"),
    re_path(
        r"^password/new/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$",
        never_cache(views.NewPasswordView.as_view()),
        name="account_reset_password_from_key",
    ),
    *_named(
        "password/new/done/", account.PasswordResetFromKeyDoneView.as_view(), "account_reset_password_from_key_done"
    ),
    *_named("account/", pages.account, "account", "mfa_index"),
    *_named("account/email/", views.change_email, "account_email_change"),
    *_named("account/confirm/", views.ConfirmView.as_view(), "account_reauthenticate"),
    *_named("account/confirm/code/", mfa.ReauthenticateView.as_view(), "mfa_reauthenticate"),
    *_named("account/two-factor/", views.ActivateView.as_view(), "mfa_activate_totp"),
    *_named("account/two-factor/off/", views.DeactivateView.as_view(), "mfa_deactivate_totp"),
    *_named("account/recovery-codes/", recovery_codes.ViewRecoveryCodesView.as_view(), "mfa_view_recovery_codes"),
    *_named("account/recovery-codes/new/", views.RecoveryCodesView.as_view(), "mfa_generate_recovery_codes"),
    *_named("account/sessions/<int:pk>/end/", views.end_one_session, "end_session"),
    *_named("account/sessions/end-others/", views.end_other_sessions, "end_other_sessions"),
]
