"""Settings of people's accounts and of mail; `fleet/settings.py` takes them all. See docs/accounts.md."""

import environ

env = environ.Env()
_is_local = env.bool("FLEET_LOCAL", default=False)

# Whether anybody who reaches the login page may make a user; otherwise by invitation or in the admin.
SELF_REGISTRATION = env.bool("SELF_REGISTRATION", default=False)

# How long links to set a password are good; pages, mails and docs say three days.
PASSWORD_RESET_TIMEOUT = 3 * 24 * 3600

# --- Mail ----------------------------------------------------------------------------------------

# Without an address there is no mail: links are then shown to who makes them. The local stack writes mail to its log.
_url = env.str("EMAIL_URL", default="") or ("consolemail://" if _is_local else "")
MAIL_IS_CONFIGURED = bool(_url)
_mail = environ.Env.email_url_config(_url or "dummymail://")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST = _mail.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = bool(_mail.get("EMAIL_USE_TLS"))
EMAIL_USE_SSL = bool(_mail.get("EMAIL_USE_SSL"))
EMAIL_FILE_PATH = _mail.get("EMAIL_FILE_PATH") or None
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", default="fleet@localhost")

# --- allauth -------------------------------------------------------------------------------------

ACCOUNT_ADAPTER = "fleet.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
# Addresses are where links go. Nobody logs in by one, so they are not verified, and several users may share one.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "django.contrib.auth.tokens.PasswordResetTokenGenerator"  # noqa: S105
ACCOUNT_SESSION_REMEMBER = True
# A change of address asks for the password or a code first.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
# How long that counts; the page says five minutes.
ACCOUNT_REAUTHENTICATION_TIMEOUT = 5 * 60
# Who may not see a page is sent to the login with `?next=`, and would otherwise be sent back and forth.
ACCOUNT_AUTHENTICATED_LOGIN_REDIRECTS = False
ACCOUNT_LOGOUT_REDIRECT_URL = "login"
# Its limits ask the cache and fail with it; attempts are limited by fleet/login.py, which does not.
ACCOUNT_RATE_LIMITS = False
ACCOUNT_FORMS = {
    "login": "fleet.accounts.forms.LoginForm",
    "change_password": "fleet.accounts.forms.ChangePasswordForm",
    "reset_password": "fleet.accounts.forms.ResetPasswordForm",
    "reset_password_from_key": "fleet.accounts.forms.NewPasswordForm",
    "reauthenticate": "fleet.accounts.forms.ConfirmForm",
}
MFA_ADAPTER = "fleet.accounts.adapter.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Fleet"
# A phone's clock may be half a minute off.
MFA_TOTP_TOLERANCE = 1
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_FORMS = {
    "authenticate": "fleet.accounts.forms.CodeForm",
    "reauthenticate": "fleet.accounts.forms.ConfirmCodeForm",
    "activate_totp": "fleet.accounts.forms.ActivateForm",
}
