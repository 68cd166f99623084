"""The scripts of the image, run for real in a folder of their own, without Docker."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.stack.services import product_services

from .broker import REPOSITORY

DOCKER = REPOSITORY / "docker"
SCRIPTS = sorted(DOCKER.glob("*.sh"))


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env={"PATH": os.environ["PATH"]} | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_bash_without_errors(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert os.access(script, os.X_OK)
    assert _run("bash", "-n", script).stderr == ""
    if shutil.which("shellcheck"):
        assert _run("shellcheck", script).stdout == ""


# --- entrypoint.sh -------------------------------------------------------------------------------


@pytest.fixture
def recorder(tmp_path: Path) -> dict[str, str]:
    """An environment whose `python` prints its arguments, process number and folder instead of running them."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "print(json.dumps({'arguments': sys.argv[1:], 'pid': os.getpid(), 'folder': os.getcwd()}))\n"
    )
    python.chmod(0o755)
    return {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "FLEET_DATA_DIR": "/var/lib/fleet/data",
    }


def _arguments(recorder: dict[str, str], *arguments: str, **environment: str) -> list[str]:
    done = _run(DOCKER / "entrypoint.sh", *arguments, environment=recorder | environment)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["folder"] == str(REPOSITORY)
    return list(answer["arguments"])


def test_each_part_is_started_by_the_same_command_line_as_in_the_local_stack(
    recorder: dict[str, str], tmp_path: Path
) -> None:
    services = product_services(
        host="0.0.0.0",
        http_port=8000,
        beat_schedule=Path("/var/lib/fleet/data/beat.db"),
        environment={},
        logs=tmp_path,
    )
    assert [service.name for service in services] == ["web", "bridge", "worker", "beat"]
    for service in services:
        assert _arguments(recorder, service.name) == list(service.arguments)


def test_what_follows_a_part_goes_to_its_program(recorder: dict[str, str]) -> None:
    assert _arguments(recorder, "bridge", "--shard", "1/2") == ["manage.py", "bridge", "--shard", "1/2"]
    assert _arguments(recorder, "worker", "--queues", "a b")[-2:] == ["--queues", "a b"]
    # The application stays last.
    assert _arguments(recorder, "web", "--proxy-headers")[-2:] == ["--proxy-headers", "fleet.asgi:application"]


def test_the_worker_takes_its_threads_and_log_level_from_the_environment(recorder: dict[str, str]) -> None:
    arguments = _arguments(recorder, "worker", WORKER_CONCURRENCY="9", LOG_LEVEL="WARNING")
    assert arguments[arguments.index("--concurrency") + 1] == "9"
    assert arguments[arguments.index("--loglevel") + 1] == "WARNING"


def test_other_commands_are_manage_py_or_run_as_they_stand(recorder: dict[str, str]) -> None:
    assert _arguments(recorder, "migrate") == ["manage.py", "migrate", "--noinput"]
    assert _arguments(recorder, "manage", "prune", "--days", "9") == ["manage.py", "prune", "--days", "9"]
    assert _arguments(recorder, "python", "-c", "a  b") == ["-c", "a  b"]


def test_a_part_takes_the_scripts_place_and_the_health_check_knows_it(recorder: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen([DOCKER / "entrypoint.sh", "worker"], env=recorder, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=30)
    # exec: the program has the script's own number, so that a signal to it reaches the program.
    assert json.loads(output)["pid"] == process.pid
    assert (tmp_path / "fleet-part").read_text() == f"worker {process.pid}\n"


def test_without_a_part_it_says_how_it_is_used(recorder: dict[str, str]) -> None:
    done = _run(DOCKER / "entrypoint.sh", environment=recorder)
    assert done.returncode == 64
    assert "web|bridge|worker|beat" in done.stderr


# --- install.sh ----------------------------------------------------------------------------------


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """A copy of what `COPY . .` brings into the image's build stage."""
    folder = tmp_path / "app"
    for name in ("docker", "requirements", "fleet", "sensors", "config", "telemetry", "alerts"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "manage.py", folder)
    return folder


def test_static_files_are_collected_without_any_server_or_secret(application: Path) -> None:
    done = _run(application / "docker/install.sh", "static", sys.prefix)
    assert done.returncode == 0, done.stderr
    static = application / "staticfiles"
    assert (static / "dashboard").is_dir()
    assert (static / "unfold").is_dir()
    assert (static / "drf_spectacular_sidecar").is_dir()
    assert list((application / "fleet/__pycache__").glob("settings.*.pyc"))


def test_a_package_whose_hash_is_not_the_locked_one_is_refused(application: Path, tmp_path: Path) -> None:
    # A wheel as a registry would give it, with other bytes than the lock file names.
    wheel = tmp_path / "wheels" / "six-1.17.0-py2.py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"not what was locked")
    lock = application / "requirements/production.txt"
    lock.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    done = _run(
        application / "docker/install.sh",
        "packages",
        tmp_path / "venv",
        environment={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)},
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not list((tmp_path / "venv").rglob("six*"))


@pytest.mark.parametrize("arguments", [(), ("packages",), ("everything", "venv")])
def test_install_says_how_it_is_used(arguments: tuple[str, ...]) -> None:
    assert _run(DOCKER / "install.sh", *arguments).returncode == 64


# --- make-env.sh ---------------------------------------------------------------------------------


def _values(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_environment_file_has_every_secret_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        done = _run(DOCKER / "make-env.sh", "fleet.example.org", path)
        assert done.returncode == 0, done.stderr
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values, others = _values(first), _values(second)
    assert values["ALLOWED_HOSTS"] == "fleet.example.org"
    assert len(values["SECRET_KEY"]) >= 50
    secrets = [values[name] for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "MQTT_PASSWORD")]
    assert len(set(secrets)) == 4
    assert all(secret.isalnum() and len(secret) >= 48 for secret in secrets)
    assert not set(secrets) & set(others.values())
    # The terminal's history is no place for them.
    assert not any(value in done.stdout for value in others.values() if len(value) >= 48)
    assert "" not in values.values()


def test_an_environment_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("precious")
    assert _run(DOCKER / "make-env.sh", "fleet.example.org", path).returncode == 73
    assert path.read_text() == "precious"


@pytest.mark.parametrize("arguments", [(), ("a host",), ("a/b",)])
def test_make_env_wants_a_host_name(arguments: tuple[str, ...]) -> None:
    assert _run(DOCKER / "make-env.sh", *arguments).returncode == 64
