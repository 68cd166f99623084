"""Sensors' credentials for amqtt, read from the database whenever somebody logs in."""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg

from sensors.secrets import HashedSecret

from .environment import read_environment

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5
ANSWER_TIMEOUT_S: Final = 5.0

_FIND: Final = """
SELECT identifier, secret_hash, change FROM sensors_sensorcredential
WHERE identifier = ANY(%s) AND secret_hash <> ''
"""


@dataclass(frozen=True, slots=True)
class Account:
    """A sensor's credential. change: another one for each that was issued."""

    secret: HashedSecret
    change: str


class AccountsAwayError(Exception):
    """The database does not answer, so nobody knows whose a password is."""


class Accounts:
    """The credentials in the database that the environment file of the local stack names.

    The file rather than an address: the broker starts beside the database, whose port may still change.
    """

    def __init__(self, environment: Path) -> None:
        self._environment = environment
        self._connection: psycopg.AsyncConnection | None = None
        self._lock = asyncio.Lock()

    async def find(self, names: Collection[str]) -> dict[str, Account]:
        """Return the accounts that there are of these names; AccountsAwayError if nobody knows."""
        async with self._lock:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    rows = await self._ask(list(names))
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._close()
                raise AccountsAwayError(type(error).__name__) from error
        return {name: Account(HashedSecret.parse(stored), str(change)) for name, stored, change in rows}

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._close()

    async def _ask(self, names: list[str]) -> list[tuple[str, str, object]]:
        # Once more with a new connection, should the old one have ended with a database that is back by now.
        for _ in range(2):
            is_new = self._connection is None
            if self._connection is None:
                self._connection = await self._connect()
            try:
                cursor = await self._connection.execute(_FIND, [names])
                return await cursor.fetchall()
            except psycopg.OperationalError:
                await self._close()
                if is_new:
                    raise
        raise AssertionError("unreachable: the second connection is new")

    async def _connect(self) -> psycopg.AsyncConnection:
        url = read_environment(self._environment).get("DATABASE_URL", "")
        if not url:
            raise OSError(f"{self._environment} does not name a database yet")
        # Django's names for it are more than libpq's.
        url = urlsplit(url)._replace(scheme="postgresql").geturl()
        return await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
