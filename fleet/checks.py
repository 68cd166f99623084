"""Settings that production must not have: `manage.py check` names them, and no process starts with them.

Each check has a row in docs/checks.md. Those of `fleet.E…` also stop web, worker, beat and bridge
(`refuse_unsafe_settings`), because nobody is made to run `check`. With FLEET_LOCAL, which `manage.py up` sets,
only what no machine should have is refused.
"""

import ipaddress
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution
from django.core.exceptions import ImproperlyConfigured

from alerts.delivery.hosts import parse_networks
from sensors.limits.rates import parse_rate

logger = logging.getLogger(__name__)

# 50 characters of base 64 are 300 bits; Django's own advice (security.W009) is the same.
SECRET_KEY_CHARACTERS: Final = 50
METRICS_TOKEN_CHARACTERS: Final = 20
# 128 bits, if they are hexadecimal.
NOTIFICATION_KEY_CHARACTERS: Final = 32
BROKER_AUTH_SECRET_CHARACTERS: Final = 32
# 120 bits of base 64.
SERVICE_PASSWORD_CHARACTERS: Final = 20
# What examples and images ship with, compared in lower case.
DEFAULT_PASSWORDS: Final = frozenset(
    {
        "admin",
        "changeme",
        "change-me",
        "default",
        "django",
        "example",
        "fleet",
        "fleet-bridge",
        "guest",
        "mosquitto",
        "mqtt",
        "pass",
        "passw0rd",
        "password",
        "postgres",
        "public",
        "redis",
        "root",
        "secret",
        "test",
        "valkey",
        "1234",
        "12345",
        "123456",
        "12345678",
    }
)


# Scopes of REST framework's rates to what their variables begin with.
_RATE_NAMES: Final = {"caller": "API", "login": "LOGIN", "claim": "CLAIM"}


def refuse_unsafe_settings() -> None:
    """Return only if this process may run with its settings; else print what is wrong and exit with 78.

    For the start of every lasting process. Warnings are logged and let pass. SystemExit rather than an error
    that frameworks catch: Celery, for one, logs what a signal's receiver raises and goes on.
    """
    found = check_settings(None)
    for message in found:
        if not message.is_serious():
            logger.warning("%s %s", message.id, message.msg)
    refused = [message for message in found if message.is_serious() and not message.is_silenced()]
    if refused:
        for message in refused:
            sys.stderr.write(f"{message.id}: {message.msg} {message.hint or ''}\n")
        sys.stderr.write("Fleet does not start with these settings; docker/env.example explains each of them.\n")
        raise SystemExit(os.EX_CONFIG)


@register(Tags.security)
def check_settings(app_configs: Any, **_options: Any) -> list[CheckMessage]:
    """Return what is unsafe in the settings."""
    return [message for check in _CHECKS for message in check()]


def _secret_key() -> Iterator[CheckMessage]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    weak = len(key) < SECRET_KEY_CHARACTERS or len(set(key)) < 5
    if weak or key.startswith("django-insecure-"):
        yield Error(
            "SECRET_KEY is empty, short, or an example.",
            hint=f"Set at least {SECRET_KEY_CHARACTERS} random characters, the same for all processes.",
            id="fleet.E001",
        )


def _debug() -> Iterator[CheckMessage]:
    if settings.DEBUG and not settings.FLEET_LOCAL:
        yield Error("DEBUG is on.", hint="It shows tracebacks and settings to everybody.", id="fleet.E002")


def _allowed_hosts() -> Iterator[CheckMessage]:
    hosts = settings.ALLOWED_HOSTS
    if not settings.FLEET_LOCAL and (not hosts or "*" in hosts):
        yield Error(
            "ALLOWED_HOSTS is empty or allows every host.",
            hint="List the names by which browsers reach the service.",
            id="fleet.E003",
        )
    elif "*" in hosts:
        yield Caution("ALLOWED_HOSTS allows every host.", hint="List their names.", id="fleet.W003")


def _database() -> Iterator[CheckMessage]:
    database = settings.DATABASES["default"]
    if not database["ENGINE"].endswith("postgresql"):
        yield Error(
            f"DATABASE_URL is of {database['ENGINE']}; the service needs PostgreSQL.",
            hint="postgres://USER:PASSWORD@HOST:PORT/NAME",
            id="fleet.E004",
        )


def _https() -> Iterator[CheckMessage]:
    if not settings.FLEET_HTTPS and not settings.FLEET_LOCAL:
        yield Caution(
            "FLEET_HTTPS is off: passwords, cookies and tokens travel in the open.",
            hint="Only for a trial; put a proxy that ends TLS before the service.",
            id="fleet.W005",
        )


def _broker() -> Iterator[CheckMessage]:
    url = urlsplit(settings.MQTT_URL)
    if url.scheme not in ("mqtt", "mqtts") or not url.hostname:
        yield Error(
            "MQTT_URL is not an address of a broker.", hint="mqtt[s]://USER:PASSWORD@HOST:PORT", id="fleet.E006"
        )
        return
    if settings.FLEET_LOCAL:
        return
    if not url.username or not url.password:
        yield Error(
            "MQTT_URL has no login.",
            hint="mqtts://USER:PASSWORD@HOST:PORT; a broker without logins lets anybody configure the sensors.",
            id="fleet.E007",
        )
    if url.scheme == "mqtt" and not _is_near(url.hostname):
        yield Caution(
            "MQTT_URL is without TLS over a network: the bridge's password travels in the open.",
            hint="mqtts://…",
            id="fleet.W007",
        )


def _passwords() -> Iterator[CheckMessage]:
    if settings.FLEET_LOCAL:
        return
    database = settings.DATABASES["default"]
    logins = {
        "DATABASE_URL": (str(database.get("USER") or ""), str(database.get("PASSWORD") or "")),
        "REDIS_URL": _login(urlsplit(settings.REDIS_URL)),
        "MQTT_URL": _login(urlsplit(settings.MQTT_URL)),
    }
    for name, (user, password) in logins.items():
        if password and (password.lower() in DEFAULT_PASSWORDS or password == user):
            yield Error(
                f"The password in {name} is one that everybody tries first.",
                hint="Make a random one.",
                id="fleet.E008",
            )
    if not logins["REDIS_URL"][1] and not _is_near(urlsplit(settings.REDIS_URL).hostname):
        yield Caution("REDIS_URL has no password.", hint="redis://:PASSWORD@HOST:PORT/0", id="fleet.W008")
    if not logins["DATABASE_URL"][1] and not _is_near(database.get("HOST")):
        yield Caution("DATABASE_URL has no password.", hint="postgres://USER:PASSWORD@HOST:PORT/NAME", id="fleet.W009")


def _origins() -> Iterator[CheckMessage]:
    wide = [
        name
        for name in ("CORS_ALLOWED_ORIGINS", "CSRF_TRUSTED_ORIGINS")
        if any(urlsplit(origin).netloc in ("", "*") for origin in getattr(settings, name))
    ]
    if getattr(settings, "CORS_ALLOW_ALL_ORIGINS", False):
        wide.append("CORS_ALLOW_ALL_ORIGINS")
    for name in wide:
        yield Error(
            f"{name} lets in pages of every origin, or names none.",
            hint="List whole origins, like https://fleet.example.org",
            id="fleet.E010",
        )


def _metrics_token() -> Iterator[CheckMessage]:
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < METRICS_TOKEN_CHARACTERS:
        yield Error(
            "METRICS_TOKEN can be guessed.",
            hint=f"Set at least {METRICS_TOKEN_CHARACTERS} random characters, or none.",
            id="fleet.E011",
        )


def _broker_accounts() -> Iterator[CheckMessage]:
    # That of amqtt, which no production runs.
    local = ("database",) if settings.FLEET_LOCAL else ()
    if settings.MQTT_ACCOUNTS not in ("dynamic-security", "http", *local):
        yield Error(
            f"MQTT_ACCOUNTS is {settings.MQTT_ACCOUNTS!r}.",
            hint="dynamic-security, or http for a broker that asks the service.",
            id="fleet.E030",
        )
    secret = settings.BROKER_AUTH_SECRET
    if secret and (len(secret) < BROKER_AUTH_SECRET_CHARACTERS or len(set(secret)) < 5):
        yield Error(
            "BROKER_AUTH_SECRET can be guessed.",
            hint=f"Set at least {BROKER_AUTH_SECRET_CHARACTERS} random characters, or none.",
            id="fleet.E031",
        )
    _, password = _login(urlsplit(settings.MQTT_URL))
    if settings.MQTT_ACCOUNTS == "http" and len(password) < SERVICE_PASSWORD_CHARACTERS:
        yield Error(
            "MQTT_ACCOUNTS is http, and the password in MQTT_URL can be guessed.",
            hint=f"Set at least {SERVICE_PASSWORD_CHARACTERS} random characters: tries of it are not limited.",
            id="fleet.E035",
        )
    if settings.MQTT_ACCOUNTS == "http" and not secret:
        yield Error(
            "MQTT_ACCOUNTS is http, and the broker has no BROKER_AUTH_SECRET to ask with.",
            hint="docs/brokers.md says what it is for.",
            id="fleet.E032",
        )


def _limits() -> Iterator[CheckMessage]:
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    named = {f"{_RATE_NAMES.get(scope, scope)}_THROTTLE": rate for scope, rate in rates.items()}
    for name, rate in {**named, "BROKER_LOGIN_THROTTLE": settings.BROKER_LOGIN_THROTTLE}.items():
        try:
            parse_rate(rate)
        except ValueError as error:
            yield Error(f"{name}: {error}.", hint="10/min", id="fleet.E033")
    for name in ("TOKEN_DAYS", "CLAIM_DAYS", "CLAIMS_PER_CODE", "LIVE_SOCKETS_PER_USER"):
        if getattr(settings, name) < 1:
            yield Error(
                f"{name} is {getattr(settings, name)}: nobody would get in.", hint="Set 1 or more.", id="fleet.E034"
            )


def _mail() -> Iterator[CheckMessage]:
    by_server = settings.EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend"
    if settings.MAIL_IS_CONFIGURED and by_server and settings.DEFAULT_FROM_EMAIL.endswith("@localhost"):
        yield Caution(
            "EMAIL_URL is set and EMAIL_FROM is not: most servers take no mail from fleet@localhost.",
            hint="EMAIL_FROM=fleet@example.org",
            id="fleet.W034",
        )


def _recheck() -> Iterator[CheckMessage]:
    # Twice that, and the time of one query, must stay under the 30 s that docs/websocket.md promises.
    if not 0 < settings.LIVE_RECHECK_S <= 14:
        yield Error(
            f"LIVE_RECHECK_S is {settings.LIVE_RECHECK_S}: sockets would outlive lost rights by more than 30 s.",
            hint="Set 1 to 14.",
            id="fleet.E012",
        )


def _notifications() -> Iterator[CheckMessage]:
    url = urlsplit(settings.PUBLIC_URL)
    if settings.PUBLIC_URL and (url.scheme not in ("http", "https") or not url.hostname):
        yield Error(
            "PUBLIC_URL is no address at which browsers reach the service.",
            hint="https://fleet.example.org, or nothing.",
            id="fleet.E013",
        )
    if any(len(key) < NOTIFICATION_KEY_CHARACTERS for key in settings.NOTIFICATION_KEYS):
        yield Error(
            "One of NOTIFICATION_KEYS can be guessed.",
            hint=f"Each has at least {NOTIFICATION_KEY_CHARACTERS} random characters.",
            id="fleet.E014",
        )
    try:
        parse_networks(tuple(settings.NOTIFICATION_PRIVATE_TARGETS))
    except ValueError as error:
        yield Error(
            f"NOTIFICATION_PRIVATE_TARGETS: {error}.", hint="Networks like 10.1.0.0/16, and addresses.", id="fleet.E015"
        )


_CHECKS: Final[tuple[Callable[[], Iterator[CheckMessage]], ...]] = (
    _secret_key,
    _debug,
    _allowed_hosts,
    _database,
    _https,
    _broker,
    _passwords,
    _origins,
    _metrics_token,
    _broker_accounts,
    _limits,
    _mail,
    _recheck,
    _notifications,
)


def _login(url: SplitResult) -> tuple[str, str]:
    return unquote(url.username or ""), unquote(url.password or "")


def _is_near(host: str | None) -> bool:
    """Return whether `host` is this machine, a socket, or a name without a dot: of a network of containers."""
    if not host or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host
