"""The forms of people's accounts: allauth's, with this service's limits and looks, and a few of its own."""

from typing import Any, Final, cast

from allauth.account import forms as account
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as ReauthenticateByCodeForm
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from allauth.mfa.utils import decrypt, encrypt
from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.password_validation import password_validators_help_texts
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.functional import lazy

from fleet.accounts.second_factor import check_code
from fleet.login import limit_attempts
from sensors.limits.attempts import CodeThrottle, LoginThrottle, ResetThrottle
from sensors.models import User
from sensors.sealing import Unreadable

CODE_HINT: Final = "Six digits from your app, or one of your recovery codes."
# How many users of one address get a link at once.
MOST_USERS: Final = 10
WRONG_CODE: Final = "This code is wrong, or was used already. Wait for the next one."


class Plain:
    """Fields as the pages have them: named by their labels, without a second name inside."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for number, (name, field) in enumerate(cast(forms.BaseForm, self).fields.items()):
            field.widget.attrs.pop("placeholder", None)
            if not isinstance(field.widget, forms.CheckboxInput):
                field.widget.attrs["class"] = "input"
            if number == 0:
                field.widget.attrs["autofocus"] = True
            if name == "code":
                field.widget.attrs["inputmode"] = "numeric"
            field.help_text = self.hints.get(name, "")
            field.label = self.labels.get(name, field.label)

    hints: dict[str, str] = {}
    labels: dict[str, str] = {
        "email": "E-mail address",
        "code": "Code",
        "oldpassword": "Current password",
        "password1": "New password",
        "password2": "New password again",
    }


# What AUTH_PASSWORD_VALIDATORS ask for, in their words; later, for they read a list of passwords.
PASSWORD_HINT: Final = lazy(lambda: " ".join(password_validators_help_texts()), str)()


class LoginForm(Plain, account.LoginForm):
    """Username and password; the password's limit is in fleet.login."""

    def add_prefix(self, field_name: str) -> str:
        """Return the field's name in the page, where what allauth calls login is the username."""
        return "username" if field_name == "login" else super().add_prefix(field_name)


class ChangePasswordForm(Plain, account.ChangePasswordForm):
    """The old password and a new one; guesses of the old one count as attempts to log in."""

    hints = {"password1": PASSWORD_HINT}

    def clean_oldpassword(self) -> str:
        """Return the old password if it is right."""
        limit_attempts(context.request, LoginThrottle(), self.user.get_username())
        return super().clean_oldpassword()


class ResetPasswordForm(Plain, account.ResetPasswordForm):
    """An address to which a link is sent, if there is anybody of that address."""

    hints = {"email": "A link is sent there, if somebody has an account with it."}

    def clean_email(self) -> str:
        """Return the address; TooManyAttemptsError whoever it belongs to."""
        email = str(self.cleaned_data["email"])
        limit_attempts(context.request, ResetThrottle(), email, what="to reset a password")
        # By the user's own address alone: allauth would also remember former ones.
        users = User.objects.filter(email__iexact=email, is_active=True).order_by("pk")[:MOST_USERS]
        # The database compares in capital letters, in which a dotless i is an i: another domain, of anybody's.
        self.users = [user for user in users if user.email.lower() == email.lower()]
        return email


class NewPasswordForm(Plain, account.ResetPasswordKeyForm):
    """A new password, by who has the link."""

    hints = {"password1": PASSWORD_HINT}


class ConfirmForm(Plain, account.ReauthenticateForm):
    """The password again, before something that matters."""


class CheckedCode:
    """A code that fleet.accounts.second_factor checks."""

    def clean_code(self) -> str:
        """Return the code if it is right; it is used up."""
        form = cast(Any, self)
        code = str(form.cleaned_data["code"])
        form.authenticator = check_code(context.request, form.user, code)
        if form.authenticator is None:
            raise ValidationError(WRONG_CODE)
        form.authenticator.user = form.user
        return code


class CodeForm(Plain, CheckedCode, AuthenticateForm):
    """The code that a login needs besides the password."""

    hints = {"code": CODE_HINT}


class ConfirmCodeForm(Plain, CheckedCode, ReauthenticateByCodeForm):
    """A code again, before something that matters."""

    hints = {"code": CODE_HINT}


class ActivateForm(Plain, ActivateTOTPForm):
    """The first code, which shows that the app has the secret."""

    hints = {"code": "The six digits that the app shows now."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # allauth keeps the secret in the session until then, where it could be read in the database.
        session = context.request.session
        try:
            self.secret = decrypt(session[SECRET_SESSION_KEY])
        except Unreadable:
            # Just made.
            session[SECRET_SESSION_KEY] = encrypt(self.secret)

    def clean_code(self) -> str:
        """Return the code if it is right."""
        limit_attempts(context.request, CodeThrottle(), self.user.get_username(), what="to give a code")
        return super().clean_code()


class EmailForm(Plain, forms.Form):
    """The address to which links are sent."""

    email = forms.EmailField(label="E-mail address", required=False, max_length=254)
    hints = {"email": "For a link when you have forgotten your password. Empty: none."}


class NewUserForm(Plain, UserCreationForm):
    """A user who makes themselves: by an invitation, or where anybody may."""

    hints = {
        "username": "Letters, digits and @ . + - _; you log in with it.",
        "email": "Optional: for a link when you have forgotten your password.",
        "password1": PASSWORD_HINT,
    }
    labels = {**Plain.labels, "password1": "Password", "password2": "Password again"}

    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "email")

    def save_if_free(self) -> User | None:
        """Return the new user; None, and an error beside the field, where somebody was quicker with the name."""
        try:
            with transaction.atomic():
                return self.save()
        except IntegrityError:
            self.add_error("username", "A user with that username already exists.")
            return None
