#!/usr/bin/env bash
# The image's build steps, as a script so that they run without Docker too.
#   docker/install.sh packages VENV   makes the virtual environment VENV from requirements/production.txt
#   docker/install.sh static VENV     collects static files and compiles the code beside this folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step=${1:-}
venv=${2:-}
if [[ -z $venv || ! $step =~ ^(packages|static)$ ]]; then
  echo "usage: $0 packages|static VENV" >&2
  exit 64
fi

case $step in
  packages)
    # Without pip: nothing is to be installed into a running container.
    python3 -m venv --without-pip "$venv"
    # Only what the lock file's hashes name, and only wheels: no package's code runs while it is installed.
    python3 -m pip --python "$venv/bin/python" --disable-pip-version-check --no-cache-dir \
      install --quiet --require-hashes --only-binary :all: --no-deps -r requirements/production.txt
    # --no-deps skips the resolver, which has nothing to choose; this says if the lock file lacks something.
    python3 -m pip --python "$venv/bin/python" check
    ;;
  static)
    # Settings want a key to be set; this one signs nothing and ends with this command.
    SECRET_KEY=$(head -c 48 /dev/urandom | base64) "$venv/bin/python" manage.py collectstatic --noinput --verbosity 1
    # The container's file system is read-only, so that Python could not keep what it compiles. Unchecked: the
    # files' times may change on their way between the image's stages.
    "$venv/bin/python" -m compileall -q --invalidation-mode unchecked-hash \
      manage.py fleet sensors config telemetry alerts
    # A checkout made under a strict umask would be unreadable for the image's user.
    chmod -R a+rX manage.py staticfiles docker fleet sensors config telemetry alerts
    ;;
esac
