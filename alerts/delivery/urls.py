"""What an address of a notification target may be, and the service of `apprise` behind it."""

import logging
import re
from typing import Any, Final

from apprise import Apprise, AppriseAsset, OverflowMode
from apprise.plugins import url_to_dict
from django.conf import settings

from alerts.delivery.hosts import addresses_of, is_allowed
from sensors.errors import Invalid
from sensors.wire import PayloadError, check_text

MAX_URL_CHARACTERS: Final = 2_000
_SCHEME: Final = re.compile(r"([a-z][a-z0-9]{1,31})://", re.IGNORECASE)
# Parameters that read files of this machine or fetch further addresses.
_REFUSED_PARAMETERS: Final = ("template", "pgp", "pgppub", "pgpprv", "pgpkey", "wkd", "attach")
# By attribute `mode`: what goes to the service's own host whatever the address says.
_PUBLIC_MODES: Final = ("cloud", "t2bot")

ASSET: Final = AppriseAsset(
    app_id="Fleet",
    app_desc="Fleet",
    app_url="",
    # In the calling thread, where the guard is: no pool, and no time limit of its own that would need one.
    async_mode=False,
    service_timeout=0,
    # A webhook that answers with a redirect has not taken the message.
    http_redirects=False,
    # Nothing on the disk.
    storage_mode="memory",
    plugin_paths=[],
    secure_logging=True,
)

# Their lines hold whole addresses with all that is secret in them, and go nowhere whatever the level is set to; without
# a handler of its own Python would print warnings. `send` reads apprise's, down to the last one, to say what happened.
_log = logging.getLogger("apprise")
_log.propagate = False
_log.setLevel(logging.DEBUG)
_log.addHandler(logging.NullHandler())
for _name in ("urllib3", "requests_oauthlib", "oauthlib"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def scheme_of(url: str) -> str:
    """Return the scheme of `url` in lower case, or ""."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def service_of(url: str) -> Any:
    """Return the service of apprise that `url` describes, limited to what a delivery may do, or None."""
    service: Any = Apprise.instantiate(url, asset=ASSET)
    if service is None:
        return None
    # Whatever the address asks for: attempts, pauses and their lengths are the outbox's, and a failure is one.
    service.retry, service.wait, service.optional, service.redirects = 0, 0.0, False, False
    service.throttle = lambda *_args, **_options: None
    service.overflow_mode = OverflowMode.TRUNCATE
    return service


def check_url(url: str) -> str:
    """Return the scheme of `url` if it may be a target's address; Invalid, naming `url`, says why not.

    Looks up its host, which must be public (`alerts.delivery.hosts`). Nothing that is raised repeats what follows
    the scheme.
    """
    try:
        check_text(url, "the address")
    except PayloadError as error:
        raise Invalid(f"{error.detail}.", field="url") from error
    if len(url) > MAX_URL_CHARACTERS:
        raise Invalid(f"An address has at most {MAX_URL_CHARACTERS} characters.", field="url")
    scheme = scheme_of(url)
    if scheme not in settings.NOTIFICATION_SCHEMES:
        schemes = ", ".join(sorted(settings.NOTIFICATION_SCHEMES))
        raise Invalid(f"The address begins with one of these, and ://, after it: {schemes}.", field="url")
    parsed = url_to_dict(url) or {}  # type: ignore[no-untyped-call]
    given = {str(name).lower() for name in (*parsed, *(parsed.get("qsd") or ()))}
    for name in _REFUSED_PARAMETERS:
        if name in given:
            raise Invalid(f"The parameter {name} is refused: it would read files or other addresses.", field="url")
    service = service_of(url)
    if service is None:
        raise Invalid(
            f"This is no complete {scheme}:// address; https://appriseit.com/services/ says how each one looks.",
            field="url",
        )
    host = _host_of(service)
    if host:
        _check_host(host)
    return scheme


def _host_of(service: Any) -> str:
    """Return the host that the address itself names, or "" where the service has one of its own."""
    if "host" not in type(service).template_tokens or getattr(service, "mode", None) in _PUBLIC_MODES:
        return ""
    return str(getattr(service, "smtp_host", None) or service.host or "").strip("[]")


def _check_host(host: str) -> None:
    try:
        addresses = addresses_of(host)
    except (OSError, UnicodeError) as error:
        raise Invalid("The host of the address has no address of its own; is its name right?", field="url") from error
    if not all(is_allowed(address) for address in addresses):
        # Without its number: who asks need not know how this house names what is inside.
        raise Invalid(
            "The host of the address is not public. Whoever runs this server can allow it by"
            " NOTIFICATION_PRIVATE_TARGETS.",
            field="url",
        )
