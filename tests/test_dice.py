"""Random moments are the same when a test is repeated, so that no second try hides what the first one found."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THROWING = """
from pathlib import Path

import pytest

thrown = Path(__file__).with_suffix(".txt")

@pytest.mark.parametrize("number", [1, 2])
def test_throws(dice, number):
    with thrown.open("a") as file:
        print(number, dice.random(), file=file)
    assert False
"""


def thrown(folder: Path, *arguments: str, **environment: str) -> tuple[dict[str, list[str]], str]:
    """Return what two failing tests threw at each of their tries, and what pytest said."""
    file = folder / "test_throwing.py"
    file.write_text(THROWING)
    file.with_suffix(".txt").write_text("")
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    inherited.pop("FLEET_TEST_SEED", None)
    ran = subprocess.run(
        [*command, "--reruns", "1", *arguments, str(file)],
        cwd=ROOT, env={**inherited, **environment}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout + ran.stderr
    found: dict[str, list[str]] = {}
    for line in file.with_suffix(".txt").read_text().splitlines():
        number, value = line.split()
        found.setdefault(number, []).append(value)
    return found, ran.stdout


def test_what_is_thrown_is_thrown_again_by_the_rerun_and_by_its_seed(tmp_path: Path) -> None:
    found, said = thrown(tmp_path, "-n", "2")
    assert {number: (len(values), len(set(values))) for number, values in found.items()} == {"1": (2, 1), "2": (2, 1)}
    # Each test has its own.
    assert found["1"] != found["2"]
    (seed,) = {line.partition("=")[2] for line in said.splitlines() if line.startswith("FLEET_TEST_SEED=")}
    assert thrown(tmp_path, FLEET_TEST_SEED=seed)[0] == found
