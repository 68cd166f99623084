"""Logging in, by whatever door: the API, the login page and the admin share one limit of attempts."""

import time
from typing import Any, Final

import structlog
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from sensors.addresses import client_address
from sensors.limits.attempts import AttemptThrottle, LoginThrottle
from sensors.models import User

log = structlog.get_logger(__name__)

# Longer than any user's name; what is sent for one may be of any length.
_LOGGED_CHARACTERS: Final = 150


class TooManyAttemptsError(ValidationError):
    """Too many attempts with one name or from one address. A form shows it; the API answers 429."""

    def __init__(self, wait_s: float, *, what: str = "to log in") -> None:
        self.wait_s = wait_s
        super().__init__(f"Too many attempts {what}. Try again in {int(wait_s) + 1} seconds.")


class LoginBackend(ModelBackend):
    """Users by name and password, with a limit of attempts (LOGIN_THROTTLE), right or wrong."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user, or None; TooManyAttemptsError before the password is even looked at."""
        if request is None or username is None:
            return super().authenticate(request, username=username, password=password, **kwargs)
        limit_attempts(request, LoginThrottle(), username)
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            _warn(request, "a login was refused: the name or the password is wrong, or the user inactive", username)
        return user


def limit_attempts(request: HttpRequest, throttle: AttemptThrottle, name: str, *, what: str = "to log in") -> None:
    """Count an attempt with `name` (a username, a mail address) and return; TooManyAttemptsError beyond the limit.

    The first one that is refused in its time is logged, so that guessing fills no disk.
    """
    if throttle.attempt(client_address(request), name, now_s=time.time()):
        return
    if throttle.is_first_refusal:
        _warn(request, f"too many attempts {what}", name)
    raise TooManyAttemptsError(throttle.wait_s or 0.0, what=what)


def _warn(request: HttpRequest, event: str, name: str) -> None:
    # Whoever bars addresses that guess (fail2ban) reads these lines.
    log.warning(event, username=name[:_LOGGED_CHARACTERS], address=client_address(request))
