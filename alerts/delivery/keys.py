"""Encrypts the addresses of notification targets, which hold passwords and tokens."""

import base64
from functools import lru_cache
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_PURPOSE: Final = b"fleet: addresses of notification targets"


class Unreadable(Exception):  # noqa: N818 - says what it is, as in `raise Unreadable`
    """None of the keys opens it: it was encrypted with one that the settings do not have any more."""


def encrypt(text: str) -> str:
    """Return `text` encrypted with the first key."""
    return _keys().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Return what was encrypted with any of the keys; raises Unreadable."""
    try:
        return _keys().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def rotate(token: str) -> str:
    """Return `token` encrypted anew with the first key; raises Unreadable."""
    try:
        return _keys().rotate(token.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def _keys() -> MultiFernet:
    # SECRET_KEY comes last, so that setting NOTIFICATION_KEYS for the first time loses nothing.
    return _derived((*settings.NOTIFICATION_KEYS, settings.SECRET_KEY))


@lru_cache(maxsize=8)
def _derived(secrets: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derive(secret)) for secret in secrets])


def _derive(secret: str) -> bytes:
    """Return a Fernet key for this purpose alone (RFC 5869)."""
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return base64.urlsafe_b64encode(key)
