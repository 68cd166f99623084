#!/usr/bin/env bash
# Starts one process of the service in place of this script, so that it receives the container's signals itself.
#   web | bridge | worker | beat [arguments]   the four that run all the time; arguments go to the program
#   migrate                                    brings the database to this image's schema, then ends
#   manage COMMAND [arguments]                 any other command of manage.py
#   anything else                              is run as it stands
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

part=${1:-}
if [[ -z $part ]]; then
  echo "usage: entrypoint.sh web|bridge|worker|beat|migrate|manage [arguments]" >&2
  exit 64
fi
case $part in
  web | bridge | worker | beat)
    shift
    # For docker/healthcheck.py: what runs here, and as which process (exec keeps the number).
    echo "$part $$" > "${TMPDIR:-/tmp}/fleet-part"
    ;;
  migrate | manage) shift ;;
esac

# The same command lines as in fleet/stack/services.py, where the reasons stand.
case $part in
  web)
    # All addresses of the container; docker/compose.yml says which of the machine's lead here.
    exec python -m daphne -b 0.0.0.0 -p 8000 -v 0 --ping-interval 20 --ping-timeout 30 "$@" fleet.asgi:application
    ;;
  bridge)
    exec python manage.py bridge "$@"
    ;;
  worker)
    exec python -m celery -A fleet worker --pool threads --concurrency "${WORKER_CONCURRENCY:-4}" \
      --loglevel "${LOG_LEVEL:-INFO}" --without-gossip --without-mingle "$@"
    ;;
  beat)
    # The schedule's file remembers when each task last ran; FLEET_DATA_DIR is a volume.
    exec python -m celery -A fleet beat --schedule "${FLEET_DATA_DIR:-.local}/beat.db" \
      --loglevel "${LOG_LEVEL:-INFO}" "$@"
    ;;
  migrate) exec python manage.py migrate --noinput "$@" ;;
  manage) exec python manage.py "$@" ;;
  *) exec "$@" ;;
esac
