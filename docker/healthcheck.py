"""Says whether the part of the service that runs in this container does its work: exit code 0, or 1 and why.

    python docker/healthcheck.py [ADDRESS]

web answers for itself at /healthz; bridge, worker and beat are judged by the age of their tick, which web
shows at ADDRESS/readyz. Docker restarts a container that ends, not one that is unhealthy: a worker or beat whose
tick is long stale although database and Redis are fit is therefore killed here. The bridge has a watchdog of
its own.

Only the standard library, and no Django: it runs every few seconds in four containers.
"""

import json
import os
import signal
import sys
import tempfile
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# The name that docker/compose.yml gives the web process.
WEB_ADDRESS = "http://web:8000"
TIMEOUT_S = 5.0
# Ticks come every few seconds. A worker that hangs for two minutes does not come back by itself, and a
# restart of database or Redis is over by then.
HOPELESS_S = 120.0


def main(arguments: list[str]) -> int:
    part_file = Path(tempfile.gettempdir()) / "fleet-part"
    try:
        part, process_id = part_file.read_text().split()
    except FileNotFoundError:
        # A shell, a migration: nothing that is expected to keep ticking.
        return 0
    address = arguments[0] if arguments else WEB_ADDRESS
    if part == "web":
        status, _ = get(arguments[0] if arguments else "http://127.0.0.1:8000", "/healthz")
        return report(status == 200, f"/healthz answered {status}")
    # 503 is an answer too: it says which part is unfit.
    status, body = get(address, "/readyz")
    parts = body.get("parts", {}) if status in (200, 503) else {}
    if part not in parts:
        return report(False, f"/readyz answered {status} and says nothing of {part}")
    if parts[part]["fit"]:
        return 0
    if part in ("worker", "beat") and is_hopeless(parts, part, running_s=time.time() - part_file.stat().st_mtime):
        os.kill(int(process_id), signal.SIGKILL)
        return report(False, f"{part} hung and was killed, to be started again")
    return report(False, f"{part} is not fit: {parts[part]}")


def is_hopeless(parts: dict[str, Any], part: str, *, running_s: float) -> bool:
    """Return whether `part`, started `running_s` ago, hangs through no fault of database or Redis."""
    if not all(parts.get(server, {}).get("fit") for server in ("database", "redis")):
        return False
    age_s = parts[part].get("age_s")
    return running_s > HOPELESS_S and (age_s is None or age_s > HOPELESS_S)


def get(address: str, path: str) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of a GET; (0, {}) when nobody answers, {} for what is no JSON object."""
    # Django refuses a Host that is not allowed; ".example.org" and "*" are patterns, not names.
    allowed = [host.strip().lstrip(".") for host in os.environ.get("ALLOWED_HOSTS", "").split(",")]
    host = next((host for host in allowed if host and host != "*"), "localhost")
    target = urlsplit(address)
    connection = HTTPConnection(target.hostname or "", target.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        text = response.read()
    except (OSError, HTTPException):
        return 0, {}
    finally:
        connection.close()
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    return response.status, body if isinstance(body, dict) else {}


def report(healthy: bool, why: str) -> int:
    """Return the exit code; an unhealthy one says why, which `docker inspect` shows."""
    if not healthy:
        sys.stdout.write(f"{why}\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
