"""Where simulated sensors connect, and what they log in with."""

import json
import re
import resource
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.device import Credentials

# Files besides the sensors' sockets: the program itself, its database connection, a CSV file.
SPARE_FILES: Final = 100

_LOGIN: Final = re.compile(r"([^\s:]+)[\s:]\s*(\S.*)")


class BrokerOptionsError(ValueError):
    """An address or a login that cannot be used; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where sensors connect; `credentials(identifier)` is what each logs in with, None for anonymous."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    credentials: Callable[[str], Credentials | None] = lambda _identifier: None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def find_broker(
    url: str, *, username: str = "", password: str = "", passwords: Path | None = None, url_login: bool = False
) -> Broker:
    """Return the broker at `url` (as MQTT_URL) for sensors that log in as given, by default anonymously.

    username, password: one login for all. passwords: a file with a login for each (see `read_passwords`); a
    sensor that is not in it uses the login for all. The login in `url` is used only with `url_login`: in
    MQTT_URL it is the bridge's. Raises BrokerOptionsError.
    """
    try:
        address = BrokerAddress.from_url(url)
        tls = address.tls_context()
    except ValueError as error:
        raise BrokerOptionsError(str(error)) from error
    if password and not username:
        raise BrokerOptionsError("a password needs a username: --username NAME --password WORD")
    if not username and url_login:
        username, password = address.username, address.password
    shared = Credentials(username, password) if username else None
    own = read_passwords(passwords) if passwords is not None else {}
    return Broker(address.host, address.port, tls, lambda identifier: own.get(identifier, shared))


def read_passwords(path: Path) -> dict[str, Credentials]:
    """Return the logins in the file at `path`, by username, which is the sensor's identifier.

    The file is what `credentials issue` prints: a line `identifier password` for each (a colon between them
    does as well), or with --json `[{"username": …, "password": …}]`. Raises BrokerOptionsError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerOptionsError(f"{path} cannot be read: {error}") from error
    logins: dict[str, Credentials] = {}
    if text.lstrip().startswith("["):
        try:
            for entry in json.loads(text):
                logins[entry["username"]] = Credentials(entry["username"], entry["password"])
        except (ValueError, KeyError, TypeError) as error:
            raise BrokerOptionsError(f'{path} is no list of {{"username", "password"}}') from error
        return logins
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LOGIN.fullmatch(line.strip())
        if match is None:
            # Never the line itself: it may be a password.
            raise BrokerOptionsError(f"{path}, line {number}: expected an identifier, a space and a password")
        logins[match[1]] = Credentials(match[1], match[2])
    return logins


def allow_open_files(sensors: int) -> None:
    """Make sure that this process may have a socket for each of `sensors`; raise BrokerOptionsError if it may not."""
    needed = sensors + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in (resource.RLIM_INFINITY, -1) or soft >= needed:
        return
    if hard not in (resource.RLIM_INFINITY, -1) and hard < needed:
        raise BrokerOptionsError(
            f"{sensors} sensors need {needed} open files and this system allows {hard} (`ulimit -Hn`); "
            f"simulate at most {hard - SPARE_FILES} in one process"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
