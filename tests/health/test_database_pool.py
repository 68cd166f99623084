"""A pool of database connections is the web process's alone, whatever the environment that all processes share says."""

import os
import subprocess
import sys

import pytest

from tests.bridges import ROOT

POOL = "settings.DATABASES['default']['OPTIONS'].get('pool', {})"
ASK = f"; from django.conf import settings; print({POOL}.get('max_size'))"


@pytest.mark.parametrize(
    ("beginning", "size", "pool"),
    [
        ("import fleet.asgi", None, "16"),
        ("import fleet.asgi", "3", "3"),
        ("import fleet.asgi", "0", "None"),
        # As the bridge begins: a statement must not wait a pool's time for a database that is away.
        ("import django; django.setup()", "3", "None"),
    ],
)
def test_only_the_web_process_has_a_pool(beginning: str, size: str | None, pool: str) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "fleet.settings"}
    environment.pop("DATABASE_POOL_SIZE", None)
    if size is not None:
        environment["DATABASE_POOL_SIZE"] = size
    told = subprocess.run(
        [sys.executable, "-c", beginning + ASK], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[-1] == pool
