"""Secrets of sensors, and the hashes that stand for them; pure.

Secrets are generated and never chosen, so that a hash need not slow down who guesses: 192 random bits are out of
reach whatever one guess costs. The form of the hash is mosquitto's own, so that a broker can be given it as it is.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

# The number that mosquitto 2.0 writes itself. The broker, which has one thread, computes it for every client that
# comes back after an outage.
ITERATIONS: Final = 101
SALT_BYTES: Final = 12
HASH_BYTES: Final = 64
SECRET_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class HashedSecret:
    """A salted hash: PBKDF2 with SHA-512."""

    salt: bytes
    digest: bytes
    iterations: int = ITERATIONS

    def __str__(self) -> str:
        """Return it as a line of mosquitto's password file has it: `$7$iterations$salt$hash`."""
        salt, digest = base64.b64encode(self.salt).decode(), base64.b64encode(self.digest).decode()
        return f"$7${self.iterations}${salt}${digest}"

    @classmethod
    def parse(cls, stored: str) -> "HashedSecret":
        """Return what `str` wrote; ValueError for any other text."""
        empty, kind, iterations, salt, digest = stored.split("$")
        try:
            hashed = cls(
                base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True), int(iterations)
            )
        except binascii.Error as error:
            raise ValueError("salt or hash is no base64") from error
        if empty or kind != "7" or hashed.iterations < 1 or not hashed.digest:
            raise ValueError("it is not of the form $7$iterations$salt$hash")
        return hashed

    def matches(self, secret: str) -> bool:
        """Return whether this is the hash of `secret`; takes the same time for every wrong one."""
        computed = hashlib.pbkdf2_hmac("sha512", secret.encode(), self.salt, self.iterations, dklen=len(self.digest))
        return hmac.compare_digest(computed, self.digest)


def new_secret() -> str:
    """Return 32 random characters of [A-Za-z0-9_-] (192 bits): safe in URLs, shells, JSON and tables.

    Never with `-` first, which a program takes for an option and a spreadsheet for a formula.
    """
    while (secret := secrets.token_urlsafe(SECRET_BYTES)).startswith("-"):
        pass
    return secret


def hash_secret(secret: str, *, salt: bytes | None = None) -> HashedSecret:
    """Return the hash of `secret`. salt: SALT_BYTES random bytes unless given (a fixed one is for tests)."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, ITERATIONS, dklen=HASH_BYTES)
    return HashedSecret(salt, digest)
