"""Where a sensor connects, for the lines of the dashboard and for sensors that claim their place."""

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

DEFAULT_MQTT_PORT: Final = 1883


def mqtt_address(request: HttpRequest) -> dict[str, Any]:
    """Return where and how a sensor connects: host, port, tls, and whether it must log in.

    The broker's address as the service knows it may be a name inside a private network and a port for the bridge
    alone, so outside the local stack the host is the one at which the caller reached the service, and the port the one
    that is published with TLS.
    """
    url = urlsplit(settings.MQTT_URL)
    if not settings.FLEET_LOCAL:
        # Of an IPv6 address without its brackets, which belong to URLs.
        host = urlsplit(f"//{request.get_host()}").hostname
        return {"host": host, "port": settings.MQTT_TLS_PORT, "tls": True, "login": True}
    tls = url.scheme == "mqtts"
    port = url.port or (settings.MQTT_TLS_PORT if tls else DEFAULT_MQTT_PORT)
    return {"host": url.hostname, "port": port, "tls": tls, "login": False}
