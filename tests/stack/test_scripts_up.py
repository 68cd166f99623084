"""`scripts/up` up to the point where it becomes `manage.py up`, with programs that only say that they were called."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fleet.stack.environment import CHECKOUT

# Answers the version check, then says what it was asked to do.
PYTHON = """#!/bin/sh
case "$*" in
  *ensurepip*) exit {has_venv} ;;
  *version_info*) exit {too_old} ;;
  --version) echo "Python 3.9.2" ;;
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *"pip install"*) echo "$*" >> pip-calls; exit {pip_fails} ;;
  *) echo "ran $*" ;;
esac
"""


def make_python(path: Path, *, too_old: bool = False, has_venv: bool = True, pip_fails: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PYTHON.format(too_old=int(too_old), has_venv=int(not has_venv), pip_fails=int(pip_fails)))
    path.chmod(0o755)


class Checkout:
    """The scripts and requirements in a folder of their own, with a `python3` that is first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "my checkout"
        for name in ("scripts", "requirements"):
            shutil.copytree(CHECKOUT / name, self.folder / name)
        self.programs = folder / "programs"
        for name in ("bash", "sh", "dirname", "sed", "cut", "sha256sum", "rm", "mkdir", "cp", "sleep", "tail", "cat"):
            found = shutil.which(name)
            assert found, name
            self.programs.mkdir(exist_ok=True)
            (self.programs / name).symlink_to(found)

    def up(self, *arguments: str, cwd: Path | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.folder / "scripts" / "up", *arguments],
            cwd=cwd or self.folder,
            env={"PATH": str(self.programs), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def stamp(self, name: str) -> str:
        digest = hashlib.sha256((self.folder / "requirements" / name).read_bytes()).hexdigest()
        return f"requirements/{name} {digest} {self.folder}"

    def pip_calls(self) -> list[str]:
        calls = self.folder / "pip-calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_first_start_installs_with_hashes_and_the_next_does_not(checkout: Checkout) -> None:
    make_python(checkout.programs / "python3")
    first = checkout.up("--simulate", "3")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == "ran manage.py up --simulate 3"
    (call,) = checkout.pip_calls()
    assert "--require-hashes" in call
    assert "requirements/local.txt" in call
    assert (checkout.folder / ".venv" / "installed").read_text() == checkout.stamp("local.txt")
    second = checkout.up()
    assert second.stdout == "ran manage.py up\n"
    assert len(checkout.pip_calls()) == 1


def test_what_the_tests_installed_is_enough(checkout: Checkout) -> None:
    make_python(checkout.folder / ".venv" / "bin" / "python")
    (checkout.folder / ".venv" / "installed").write_text(checkout.stamp("development.txt"))
    assert checkout.up().stdout == "ran manage.py up\n"
    assert checkout.pip_calls() == []


def test_a_changed_lock_file_is_installed(checkout: Checkout) -> None:
    make_python(checkout.folder / ".venv" / "bin" / "python")
    (checkout.folder / ".venv" / "installed").write_text(checkout.stamp("local.txt"))
    with (checkout.folder / "requirements" / "local.txt").open("a") as file:
        file.write("# another release\n")
    assert checkout.up().returncode == 0
    assert len(checkout.pip_calls()) == 1


def test_a_checkout_that_was_moved_gets_a_new_environment(checkout: Checkout) -> None:
    make_python(checkout.programs / "python3")
    make_python(checkout.folder / ".venv" / "bin" / "python")
    (checkout.folder / ".venv" / "leftover").touch()
    (checkout.folder / ".venv" / "installed").write_text(checkout.stamp("local.txt").rpartition(" ")[0] + " /elsewhere")
    assert checkout.up().returncode == 0
    assert not (checkout.folder / ".venv" / "leftover").exists()


def test_without_a_new_enough_python_it_says_what_to_install(checkout: Checkout) -> None:
    make_python(checkout.programs / "python3", too_old=True)
    ended = checkout.up()
    assert ended.returncode == 1
    assert "Fleet needs Python 3.11 or newer; the one here is: Python 3.9.2" in ended.stderr
    assert "sudo apt install python3 python3-venv" in ended.stderr


def test_without_the_module_venv_it_names_the_package(checkout: Checkout) -> None:
    make_python(checkout.programs / "python3", has_venv=False)
    ended = checkout.up()
    assert ended.returncode == 1
    assert "lacks the module venv" in ended.stderr
    assert "sudo apt install" in ended.stderr


def test_a_failed_installation_is_shown_and_tried_again(checkout: Checkout) -> None:
    make_python(checkout.programs / "python3", pip_fails=True)
    ended = checkout.up()
    assert ended.returncode == 1
    assert "Installing requirements/local.txt failed; all of it is in .venv/install.log" in ended.stderr
    assert checkout.up().returncode == 1
    assert len(checkout.pip_calls()) == 2


def test_a_relative_data_folder_is_below_where_it_was_called(checkout: Checkout, tmp_path: Path) -> None:
    make_python(checkout.folder / ".venv" / "bin" / "python")
    (checkout.folder / ".venv" / "installed").write_text(checkout.stamp("local.txt"))
    python = checkout.folder / ".venv" / "bin" / "python"
    python.write_text(python.read_text().replace('"ran $*"', '"$FLEET_DATA_DIR"'))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert checkout.up(cwd=elsewhere, FLEET_DATA_DIR="data").stdout == f"{elsewhere}/data\n"
    assert checkout.up(cwd=elsewhere, FLEET_DATA_DIR="/srv/data").stdout == "/srv/data\n"


def test_help_needs_no_installation(checkout: Checkout) -> None:
    ended = checkout.up("--help")
    assert ended.returncode == 0
    assert "./scripts/up --simulate 20" in ended.stdout
    assert not (checkout.folder / ".venv").exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scripts_pass_shellcheck() -> None:
    scripts = [path for path in ("scripts/up", "scripts/environment") if (CHECKOUT / path).exists()]
    ended = subprocess.run(["shellcheck", "-x", *scripts], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.stdout == ""
    assert os.access(CHECKOUT / "scripts" / "up", os.X_OK)
