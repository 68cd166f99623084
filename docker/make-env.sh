#!/usr/bin/env bash
# Makes docker/.env (mode 600) from docker/env.example with random secrets; never overwrites one.
#   docker/make-env.sh HOST [FILE]    HOST: the name under which browsers reach the service
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

host=${1:-}
file=${2:-.env}
if [[ ! $host =~ ^[A-Za-z0-9.-]+$ ]]; then
  echo "usage: $0 HOST [FILE], for example: $0 fleet.example.org" >&2
  exit 64
fi
if [[ -e $file ]]; then
  echo "$file exists already; remove it first if its secrets may be lost" >&2
  exit 73
fi

# Hexadecimal, so that no secret needs quoting in a file or encoding in a URL.
secret() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

umask 077
sed -e "s/^ALLOWED_HOSTS=.*/ALLOWED_HOSTS=$host/" \
  -e "s/^SECRET_KEY=$/SECRET_KEY=$(secret 32)/" \
  -e "s/^POSTGRES_PASSWORD=$/POSTGRES_PASSWORD=$(secret 24)/" \
  -e "s/^REDIS_PASSWORD=$/REDIS_PASSWORD=$(secret 24)/" \
  -e "s/^MQTT_PASSWORD=$/MQTT_PASSWORD=$(secret 24)/" \
  env.example > "$file"
echo "wrote $file; the secrets in it exist nowhere else"
