"""How often somebody may try what could be guessed or would bother others: passwords, codes, links, mails."""

import hashlib
from typing import ClassVar, Final

from django.conf import settings

from sensors.addresses import origin
from sensors.limits.counters import count_anyway
from sensors.limits.rates import Rate, parse_rate

# Attempts from one address with any names: a household or office shares one, a password list needs far more.
_ADDRESS_SHARE: Final = 10
_HOUR_S: Final = 3600
# Who has the password would otherwise try all of a million codes.
_CODE_WINDOW_S: Final = 900
# Anybody may make a network and name any address, and the service shall not send their advertisements.
MAX_MAILED_AN_HOUR: Final = 50


class AttemptThrottle:
    """Attempts with one name from one address, and from one address at all; LOGIN_THROTTLE sets how many.

    While Redis is away each process counts for itself: guessing is never free. wait_s: the seconds until another
    attempt, once one was refused. is_first_refusal: whether that was the first of its window.
    """

    # What is counted apart from other attempts.
    scope: ClassVar = "login"

    def __init__(self) -> None:
        self.rate = parse_rate(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["login"])
        self.wait_s: float | None = None
        self.is_first_refusal = False

    def attempt(self, address: str, name: str, *, now_s: float) -> bool:
        """Count one attempt; return whether it is within the limits."""
        address = origin(address)
        wide = self.rate._replace(most=self.rate.most * _ADDRESS_SHARE)
        by_address = self._take(f"address:{address}", wide, now_s=now_s)
        return self._take(f"{address}:{_digest(name)}", self.rate, now_s=now_s) and by_address

    def _take(self, key: str, rate: Rate, *, now_s: float) -> bool:
        number = count_anyway(rate.key(f"{self.scope}:{key}", now_s=now_s), window_s=rate.window_s)
        if number <= rate.most:
            return True
        self.is_first_refusal = self.is_first_refusal or number == rate.most + 1
        self.wait_s = rate.left_s(now_s=now_s)
        return False


class LoginThrottle(AttemptThrottle):
    """Attempts to log in with a password."""


class RegistrationThrottle(AttemptThrottle):
    """Users that are made without anybody's doing."""

    scope = "registration"


class ResetThrottle(AttemptThrottle):
    """Requests for a link to a mail address; together so many in an hour, so that nobody's mail is filled."""

    scope = "reset"

    def attempt(self, address: str, name: str, *, now_s: float) -> bool:
        """Count one request; return whether it is within the limits."""
        hourly = self.rate._replace(window_s=_HOUR_S)
        return super().attempt(address, name, now_s=now_s) and self._take(f"name:{_digest(name)}", hourly, now_s=now_s)


class CodeThrottle(AttemptThrottle):
    """Codes of one user, from whatever address."""

    scope = "code"

    def attempt(self, address: str, name: str, *, now_s: float) -> bool:
        """Count one attempt; return whether it is within the limit of a quarter of an hour."""
        rate = self.rate._replace(window_s=max(self.rate.window_s, _CODE_WINDOW_S))
        return self._take(_digest(name), rate, now_s=now_s)


class MailThrottle(AttemptThrottle):
    """Mails to addresses that one user names, so many in an hour, whatever becomes of what they were sent for."""

    scope = "mail"

    def attempt(self, address: str, name: str, *, now_s: float) -> bool:
        """Count one mail of the user `name`; return whether it is within the limit."""
        return self._take(_digest(name), Rate(MAX_MAILED_AN_HOUR, _HOUR_S), now_s=now_s)


def _digest(name: str) -> str:
    return hashlib.sha256(name.strip().lower().encode(errors="replace")).hexdigest()[:32]
