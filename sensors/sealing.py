"""Encrypts what must be read again later: addresses of notification targets, secrets on their way to the broker."""

import base64
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Unreadable(Exception):  # noqa: N818 - says what it is, as in `raise Unreadable`
    """None of the keys opens it: it was sealed with one that the settings do not have any more."""


def seal(text: str, *, purpose: str, keys: Sequence[str]) -> str:
    """Return `text` encrypted with the first of `keys` (Fernet), for `purpose` alone."""
    return _fernet(purpose, tuple(keys)).encrypt(text.encode()).decode()


def unseal(sealed: str, *, purpose: str, keys: Sequence[str]) -> str:
    """Return what was sealed for the same purpose with any of `keys`; raises Unreadable."""
    try:
        return _fernet(purpose, tuple(keys)).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def reseal(sealed: str, *, purpose: str, keys: Sequence[str]) -> str:
    """Return it sealed anew with the first of `keys`; raises Unreadable."""
    try:
        return _fernet(purpose, tuple(keys)).rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


@lru_cache(maxsize=16)
def _fernet(purpose: str, keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derive(key, purpose)) for key in keys])


def _derive(key: str, purpose: str) -> bytes:
    """Return a Fernet key for this purpose alone (RFC 5869)."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"fleet: {purpose}".encode()).derive(key.encode())
    return base64.urlsafe_b64encode(derived)
