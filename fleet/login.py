"""Logging in, by whatever door: the API, the login page and the admin share one limit of attempts."""

import time
from typing import Any, Final, cast

import structlog
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from rest_framework.request import Request

from sensors.api.throttles import LoginThrottle
from sensors.models import User

log = structlog.get_logger(__name__)

# Longer than any user's name; what is sent for one may be of any length.
_LOGGED_CHARACTERS: Final = 150


class TooManyAttemptsError(ValidationError):
    """Too many attempts with one name or from one address. A form shows it; the API answers 429."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(f"Too many attempts to log in. Try again in {int(wait_s) + 1} seconds.")


class LoginBackend(ModelBackend):
    """Users by name and password, with a limit of attempts (LOGIN_THROTTLE), right or wrong."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user, or None; TooManyAttemptsError before the password is even looked at."""
        if request is None or username is None:
            return super().authenticate(request, username=username, password=password, **kwargs)
        throttle = LoginThrottle()
        address = str(throttle.get_ident(cast(Request, request)))
        # Whoever bars addresses that guess (fail2ban) reads these lines.
        refusal = log.bind(username=username[:_LOGGED_CHARACTERS], address=address)
        if not throttle.attempt(address, username, now_s=time.time()):
            refusal.warning("a login was refused: too many attempts")
            raise TooManyAttemptsError(throttle.wait() or 0.0)
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            refusal.warning("a login was refused: the name or the password is wrong, or the user inactive")
        return user
