"""Real requests that show whether a database or a Redis server works."""

from urllib.parse import urlsplit

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import StackError


def probe_database(url: str, *, timeout_s: float) -> None:
    """Log in at the PostgreSQL at `url` and run a statement; raises StackError with the server's reason."""
    # libpq counts whole seconds from 2 on.
    connect_timeout = max(2, round(timeout_s))
    try:
        with psycopg.connect(url, connect_timeout=connect_timeout, autocommit=True) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise StackError(str(error).strip()) from error


def probe_redis(url: str, *, timeout_s: float) -> None:
    """Log in at the Redis or Valkey at `url` and ping it; raises StackError with the reason."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        raise StackError(str(error).strip()) from error


def without_password(url: str) -> str:
    """Return `url` fit for a message."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":…@", 1)
