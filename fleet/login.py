"""Logging in, by whatever door: the API, the login page and the admin share one limit of attempts."""

import time
from typing import Any, cast

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from rest_framework.request import Request

from sensors.api.throttles import LoginThrottle
from sensors.models import User


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
        if request is not None and username is not None:
            throttle = LoginThrottle()
            if not throttle.attempt(str(throttle.get_ident(cast(Request, request))), username, now_s=time.time()):
                raise TooManyAttemptsError(throttle.wait() or 0.0)
        return super().authenticate(request, username=username, password=password, **kwargs)
