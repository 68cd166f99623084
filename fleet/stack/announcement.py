"""What a person reads when the stack is ready."""

from .broker import BrokerServer
from .options import Options, outward_addresses


def exposure(options: Options) -> str:
    """Return what listening on another address than the loopback means."""
    broker = "" if options.mqtt_url else "The broker they reach with TLS only, and no sensor without a login. "
    return (
        f"FLEET_HOST={options.host}: other machines can reach the pages and the API. Nothing of that is encrypted, "
        f"passwords included: for networks that you trust. {broker}To run it for others, use docker/compose.yml."
    )


def announcement(
    options: Options, broker: BrokerServer | None, *, http_port: int, admin_password: str | None
) -> list[str]:
    """Return the lines that say that the stack is ready and how to use it.

    broker: None for one of the person's own. admin_password: of the first operator, if it was made just now.
    """
    url = f"http://{options.reachable_host}:{http_port}"
    lines = [f"Fleet is ready: {url}", f"  log in    {_login(options, admin_password)}"]
    lines.append(f"  admin     {url}/admin/      API  {url}/api/docs/")
    if broker is None:
        lines.append("  sensors   at the broker in MQTT_URL")
    elif broker.anonymous:
        lines.append(f"  sensors   {broker.sensor_url}, no login on this machine")
    else:
        lines.append(f"  sensors   {broker.sensor_url}")
    tls = broker.tls if broker else None
    if broker is not None and tls is not None:
        login = "" if broker.anonymous else ", the same login"
        host = options.reachable_host
        lines.append(f"  with TLS  mqtts://{host}:{tls.port}, wss://{host}:{tls.websocket_port}{login}")
        lines.append(f"            trusting {tls.ca_file}")
    if options.all_addresses:
        mqtt = f", mqtts on {tls.port}" if tls else ""
        lines += [f"  elsewhere http://{address}:{http_port}{mqtt}" for address in outward_addresses()]
    lines.append("  Ctrl-C stops everything; the data stays.")
    return lines


def _login(options: Options, admin_password: str | None) -> str:
    if admin_password is None:
        return "as admin; a new password: .venv/bin/python manage.py changepassword admin"
    if options.admin_password:
        return "as admin with the password in FLEET_ADMIN_PASSWORD"
    return f"as admin, password {admin_password} (shown only this once)"
