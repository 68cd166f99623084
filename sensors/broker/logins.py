"""Logins at a broker that asks, judged by the credentials in the database."""

import enum
import hmac
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from django.conf import settings
from prometheus_client import Counter

from sensors.broker.refusals import RefusalLog
from sensors.broker.rules import may_connect, may_subscribe, may_write
from sensors.broker.rules import may_read as may_receive
from sensors.limits.guesses import GuessThrottle
from sensors.models import SensorCredential
from sensors.secrets import HashedSecret, hash_secret, new_secret

LOGINS: Final = Counter("fleet_broker_logins", "Logins that a broker asked this process about.", ["outcome"])
# What nobody's password has: a name that there is not costs the same time as a wrong password.
_NOBODY: Final = hash_secret(new_secret())

refusals: Final = RefusalLog(reminds_itself=True)


class Verdict(enum.StrEnum):
    """What becomes of a login."""

    SENSOR = "sensor"
    SERVICE = "service"  # the service's own, which may use every topic
    REFUSED = "refused"
    THROTTLED = "throttled"  # too many wrong ones before it: its password was not looked at

    @property
    def is_admitted(self) -> bool:
        """Whether it comes in."""
        return self in (Verdict.SENSOR, Verdict.SERVICE)


class Action(enum.Enum):
    """What a client wants to do with a topic, or, to subscribe, with a filter."""

    WRITE = enum.auto()
    READ = enum.auto()
    SUBSCRIBE = enum.auto()


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """With what a client connects. address: its own, "" if the broker does not tell it."""

    username: str
    password: str = field(repr=False)
    client_id: str
    address: str = ""


def judge_login(login: LoginAttempt, *, now_s: float) -> Verdict:
    """Return what becomes of the login; counts it, and warns of refused ones. now_s: Unix time.

    Raises DatabaseError if nobody can know.
    """
    verdict = _judged(login, now_s=now_s)
    LOGINS.labels(outcome=verdict.value).inc()
    if not verdict.is_admitted:
        refusals.note(
            now_s=time.monotonic(),
            username=login.username,
            client_id=login.client_id,
            address=login.address,
            why=verdict.value,
        )
    return verdict


def _judged(login: LoginAttempt, *, now_s: float) -> Verdict:
    if is_service_login(login.username):
        # Without a limit, by which anybody could keep the bridge out: nobody guesses what fleet.E035 asks for.
        secret = _service_secret(settings.MQTT_URL)
        return Verdict.SERVICE if (secret or _NOBODY).matches(login.password) and secret else Verdict.REFUSED
    throttle = GuessThrottle(login.username, login.address, now_s)
    if throttle.is_exhausted():
        return Verdict.THROTTLED
    secret = _secret_of(login.username)
    # In this order, so that a wrong client id, too, costs a hash and is told by nothing.
    is_right = (secret or _NOBODY).matches(login.password)
    if not is_right or secret is None:
        throttle.refused()
        return Verdict.REFUSED
    if not may_connect(login.username, login.client_id):
        return Verdict.REFUSED
    throttle.admitted()
    return Verdict.SENSOR


def may_use(username: str, action: Action, topic: str) -> bool:
    """Return whether who logged in with `username` may do that with `topic`; raises DatabaseError.

    A sensor may while it has a credential: one that was revoked may nothing, though its connection be open.
    """
    if is_service_login(username):
        return True
    allowed = {Action.WRITE: may_write, Action.READ: may_receive, Action.SUBSCRIBE: may_subscribe}[action]
    return allowed(username, topic) and _secret_of(username) is not None


def is_service_login(username: str) -> bool:
    """Return whether this is the username of MQTT_URL."""
    own = unquote(urlsplit(settings.MQTT_URL).username or "")
    return bool(own) and hmac.compare_digest(username.encode(errors="replace"), own.encode())


@lru_cache(maxsize=1)
def _service_secret(url: str) -> HashedSecret | None:
    password = unquote(urlsplit(url).password or "")
    return hash_secret(password) if password else None


def _secret_of(username: str) -> HashedSecret | None:
    stored = SensorCredential.objects.filter(identifier=username).exclude(secret_hash="")
    found = stored.values_list("secret_hash", flat=True).first()
    return HashedSecret.parse(found) if found else None
