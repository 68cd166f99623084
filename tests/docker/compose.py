"""docker/compose.yml as Compose reads it."""

import re
from collections.abc import Mapping
from typing import Any

from .broker import REPOSITORY

DOCKER = REPOSITORY / "docker"
# What docker/.env sets, as make-env.sh makes it.
ENVIRONMENT = {"POSTGRES_PASSWORD": "aa11", "REDIS_PASSWORD": "bb22", "MQTT_PASSWORD": "cc33", "ALLOWED_HOSTS": "x.org"}


def interpolate(value: Any, environment: Mapping[str, str]) -> Any:
    """Return `value` with ${NAME}, ${NAME:-default}, ${NAME:?error} and $$ as Compose replaces them."""
    if isinstance(value, dict):
        return {key: interpolate(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, environment) for item in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        given = environment.get(match["name"], "")
        if not given and match["operator"] == ":?":
            raise ValueError(f"{match['name']}: {match['rest']}")
        return given or (match["rest"] if match["operator"] == ":-" else "")

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<rest>[^}]*))?\}", replacement, value)
