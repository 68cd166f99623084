"""The file through which commands in another terminal find the running local stack."""

import os
import shlex
from collections.abc import Mapping, MutableMapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent

_HEADER = """\
# Written by `manage.py up` at every start: where the local stack is and what its servers ask for.
# manage.py reads it by itself while no DATABASE_URL is set. In a shell:  . {path}
"""


def data_directory(environ: Mapping[str, str]) -> Path:
    """Return the folder of the local stack's data: FLEET_DATA_DIR, by default `.local` in the checkout."""
    chosen = environ.get("FLEET_DATA_DIR", "")
    return Path(chosen).expanduser().absolute() if chosen else CHECKOUT / ".local"


def environment_path(data_dir: Path) -> Path:
    """Return the path of the environment file in `data_dir`."""
    return data_dir / "environment"


def write_environment(path: Path, values: Mapping[str, str]) -> None:
    """Write `values` to `path` for shells and for `read_environment`, readable by its owner only.

    Replaces the file in one step: a reader sees the old one or the new one.
    """
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_HEADER.format(path=shlex.quote(str(path))) + "".join(lines))
    fresh.replace(path)


def read_environment(path: Path) -> dict[str, str]:
    """Return what the environment file at `path` sets; {} when there is none or it is not readable."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return {}
    values = {}
    for assignment in shlex.split(text, comments=True):
        name, separator, value = assignment.partition("=")
        if separator:
            values[name] = value
    return values


def load_local_environment(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let this process use the local stack, if one was started here and nothing else was asked for.

    Sets what the environment file holds and `environ` does not. Does nothing when DATABASE_URL is set: whoever
    names a database means that one, with its own secrets and its own servers.
    """
    if environ.get("DATABASE_URL"):
        return
    for name, value in read_environment(environment_path(data_directory(environ))).items():
        environ.setdefault(name, value)
