"""The second factor: codes of an app (TOTP), and recovery codes for when the phone is gone.

One place checks codes, for the login page, for confirming that it is you, and for the API.
"""

import logging
from typing import Final

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt
from django.db import transaction
from django.http import HttpRequest

from fleet.accounts.sessions import end_sessions
from fleet.login import limit_attempts
from sensors.limits.attempts import CodeThrottle
from sensors.models import AuditEntry, User
from sensors.sealing import Unreadable

logger = logging.getLogger(__name__)

# In the authenticator's data: the period of the last code that was taken.
_LAST: Final = "last_counter"


def is_on(user: User) -> bool:
    """Return whether `user` needs a code besides the password."""
    return Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()


def recovery_codes_left(user: User) -> int:
    """Return how many recovery codes of `user` were not used yet."""
    found = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    try:
        return len(found.wrap().get_unused_codes()) if found else 0
    except Unreadable:
        return 0


def check_code(request: HttpRequest, user: User, code: str) -> Authenticator | None:
    """Return what `code` belongs to, which it opens this once; None if it is wrong or was used.

    TooManyAttemptsError before the code is looked at. That a code was used is kept in the database and not in the
    cache, which may be away.
    """
    limit_attempts(request, CodeThrottle(), user.get_username(), what="to give a code")
    with transaction.atomic():
        rows = list(Authenticator.objects.select_for_update().filter(user=user).order_by("pk"))
        try:
            return next((row for row in rows if _opens(row, code)), None)
        except Unreadable:
            logger.exception("the second factor of %r was sealed with another SECRET_KEY", user.get_username())
            return None


def use_up(user: User, code: str) -> None:
    """Let the code by which the app was tried open nothing more."""
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().filter(user=user, type=Authenticator.Type.TOTP).first()
        if row is not None:
            _opens_totp(row, code)


def turn_off(user: User) -> int | None:
    """End the second factor of `user`, for whom staff know, and their sessions; return how many, None without one."""
    with transaction.atomic():
        deleted, _ = Authenticator.objects.filter(user=user).delete()
        if not deleted:
            return None
        audit(user, "off")
        return end_sessions(user)


def audit(user: User, state: str) -> None:
    """Say in the history of the user that the second factor is `state` now: on, off, new recovery codes."""
    AuditEntry.objects.log_create(
        user, force_log=True, action=AuditEntry.Action.UPDATE, changes={"second factor": ["", state]}
    )


def _opens(row: Authenticator, code: str) -> bool:
    if row.type == Authenticator.Type.TOTP:
        return _opens_totp(row, code)
    return bool(row.wrap().validate_code(code))


def _opens_totp(row: Authenticator, code: str) -> bool:
    secret = decrypt(row.data["secret"])
    last = row.data.get(_LAST, -1)
    for counter in yield_hotp_counters_from_time():
        if counter > last and compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, counter))):
            row.data[_LAST] = counter
            row.save(update_fields=["data"])
            return True
    return False
