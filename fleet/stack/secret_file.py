"""The secrets of a local stack: generated once, kept in one file that only its owner reads."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from .errors import StackError


def _generate() -> str:
    # Hexadecimal, so that it may stand in a URL, a shell and a settings file without quoting.
    return secrets.token_hex(32)


@dataclass(frozen=True, slots=True)
class LocalSecrets:
    """All secrets of one data folder."""

    secret_key: str = field(default_factory=_generate, repr=False)
    postgres_superuser: str = field(default_factory=_generate, repr=False)
    postgres: str = field(default_factory=_generate, repr=False)
    valkey: str = field(default_factory=_generate, repr=False)
    mqtt_bridge: str = field(default_factory=_generate, repr=False)
    mqtt_sensor: str = field(default_factory=_generate, repr=False)


def load_secrets(path: Path) -> LocalSecrets:
    """Return the secrets in the file at `path`; what it lacks is generated and written to it (mode 600).

    Raises StackError when the file is damaged: generating anew would lock the stack out of its own database.
    """
    known: dict[str, str] = {}
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            stored = {
                name: value for name, value in known.items() if name in {each.name for each in fields(LocalSecrets)}
            }
        except (ValueError, AttributeError) as error:
            raise StackError(
                f"{path} is damaged ({error}). Restore it: the local database needs its password."
            ) from error
        loaded = LocalSecrets(**stored)
    else:
        loaded = LocalSecrets()
    wanted = asdict(loaded)
    if wanted != known:
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(wanted, file, indent=2)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    return loaded
