import os
import stat
import subprocess
from pathlib import Path

from fleet.stack.environment import (
    CHECKOUT,
    data_directory,
    environment_path,
    load_local_environment,
    read_environment,
    write_environment,
)

VALUES = {"DATABASE_URL": "postgres://a:b@127.0.0.1:1/c", "ALLOWED_HOSTS": "a b,$HOME,'x'", "SECRET_KEY": 's#="é'}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "environment"
    write_environment(path, VALUES)
    assert read_environment(path) == VALUES


def test_a_shell_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "my folder" / "environment"
    path.parent.mkdir()
    write_environment(path, VALUES)
    shown = subprocess.run(
        ["sh", "-c", '. "$1" && env -0', "sh", str(path)], capture_output=True, check=True, env={"PATH": os.defpath}
    )
    environment = dict(line.split("=", 1) for line in shown.stdout.decode().split("\0") if line)
    assert {name: environment[name] for name in VALUES} == VALUES


def test_only_its_owner_can_read_it_even_when_it_replaces_a_public_file(tmp_path: Path) -> None:
    path = tmp_path / "environment"
    path.touch(mode=0o644)
    write_environment(path, VALUES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_command_without_an_address_uses_the_local_stack(tmp_path: Path) -> None:
    write_environment(environment_path(tmp_path), VALUES)
    environ = {"FLEET_DATA_DIR": str(tmp_path), "SECRET_KEY": "own"}
    load_local_environment(environ)
    assert environ == {**VALUES, "FLEET_DATA_DIR": str(tmp_path), "SECRET_KEY": "own"}


def test_a_command_with_an_address_of_its_own_gets_nothing_of_the_local_stack(tmp_path: Path) -> None:
    write_environment(environment_path(tmp_path), VALUES)
    environ = {"FLEET_DATA_DIR": str(tmp_path), "DATABASE_URL": "postgres://elsewhere/db"}
    load_local_environment(environ)
    assert environ == {"FLEET_DATA_DIR": str(tmp_path), "DATABASE_URL": "postgres://elsewhere/db"}


def test_without_a_local_stack_nothing_is_set(tmp_path: Path) -> None:
    environ = {"FLEET_DATA_DIR": str(tmp_path)}
    load_local_environment(environ)
    assert environ == {"FLEET_DATA_DIR": str(tmp_path)}


def test_the_data_folder_is_in_the_checkout_unless_another_is_chosen() -> None:
    assert data_directory({}) == CHECKOUT / ".local"
    assert data_directory({"FLEET_DATA_DIR": ""}) == CHECKOUT / ".local"
    assert data_directory({"FLEET_DATA_DIR": "/srv/fleet"}) == Path("/srv/fleet")
    assert data_directory({"FLEET_DATA_DIR": "here"}) == Path.cwd() / "here"
