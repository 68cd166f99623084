"""docker/Dockerfile and .dockerignore, as far as they can be judged without building."""

import re
import subprocess

import pytest

from .broker import REPOSITORY

DOCKERFILE = (REPOSITORY / "docker/Dockerfile").read_text()
# One string per instruction, continuation lines joined, comments left out.
INSTRUCTIONS = [
    line for line in re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)).splitlines() if line.strip()
]
FINAL_STAGE = INSTRUCTIONS[max(i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM")) :]


def _ignored(path: str) -> bool:
    """Return whether .dockerignore keeps `path` out: the last pattern that matches it or a folder above decides."""
    ignored = False
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        negated, pattern = line.startswith("!"), line.lstrip("!")
        expression = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if re.match(rf"{expression}(?:/|$)", path):
            ignored = not negated
    return ignored


def test_both_stages_start_from_the_same_pinned_release() -> None:
    assert INSTRUCTIONS[0] == "ARG PYTHON_IMAGE=python:3.11.17-slim-bookworm"
    stages = [line for line in INSTRUCTIONS if line.startswith("FROM")]
    assert stages == ["FROM ${PYTHON_IMAGE} AS build", "FROM ${PYTHON_IMAGE}"]


def test_the_image_runs_as_a_user_with_a_fixed_number() -> None:
    assert [line for line in FINAL_STAGE if line.startswith("USER")] == ["USER 10001:10001"]
    assert FINAL_STAGE.index("USER 10001:10001") > max(
        i for i, line in enumerate(FINAL_STAGE) if line.startswith(("RUN", "COPY"))
    )


def test_the_image_holds_no_secret_and_no_build_tools() -> None:
    assert not re.search(r"(?i)(password|secret|token)\S*=", DOCKERFILE)
    # What the build stage installs from a registry comes by the script that checks hashes, and in no other way.
    assert "apt-get" not in DOCKERFILE
    assert "pip" not in DOCKERFILE
    script = (REPOSITORY / "docker/install.sh").read_text()
    assert "--require-hashes --only-binary :all: --no-deps -r requirements/production.txt" in script


def test_the_scripts_that_it_names_are_in_it() -> None:
    assert 'ENTRYPOINT ["docker/entrypoint.sh"]' in FINAL_STAGE
    assert 'CMD ["web"]' in FINAL_STAGE
    assert FINAL_STAGE[-1].startswith("HEALTHCHECK ")
    assert FINAL_STAGE[-1].endswith('CMD ["python", "docker/healthcheck.py"]')
    for path in re.findall(r"(?:docker|requirements)/[a-z_.-]+", "\n".join(INSTRUCTIONS)):
        assert (REPOSITORY / path).is_file(), path
        assert not _ignored(path), path


def test_the_build_context_has_every_package_and_nothing_else() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    sent = {path for path in tracked if not _ignored(path)}
    packages = {path.split("/")[0] for path in tracked if path.count("/") == 1 and path.endswith("/__init__.py")}
    packages.remove("tests")
    assert {path.split("/")[0] for path in sent} == {*packages, "manage.py", "requirements", "docker"}
    assert {path for path in sent if path.startswith(("docker/", "requirements/"))} == {
        "docker/entrypoint.sh",
        "docker/healthcheck.py",
        "docker/install.sh",
        "requirements/production.txt",
    }
    # Every file of a package, its templates and static files too.
    assert {path for path in tracked if path.split("/")[0] in packages} <= sent


@pytest.mark.parametrize(
    "path",
    [".env", "docker/.env", "fleet/.env", ".git/config", ".local/secrets.json", ".venv/bin/python", "tests/x.py"],
)
def test_no_secret_reaches_the_build(path: str) -> None:
    assert _ignored(path)
