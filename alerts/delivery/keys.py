"""Encrypts the addresses of notification targets, which hold passwords and tokens."""

from typing import Final

from django.conf import settings

from sensors.sealing import Unreadable, reseal, seal, unseal

__all__ = ["Unreadable", "decrypt", "encrypt", "rotate"]

_PURPOSE: Final = "addresses of notification targets"


def encrypt(text: str) -> str:
    """Return `text` encrypted with the first key."""
    return seal(text, purpose=_PURPOSE, keys=_keys())


def decrypt(token: str) -> str:
    """Return what was encrypted with any of the keys; raises Unreadable."""
    return unseal(token, purpose=_PURPOSE, keys=_keys())


def rotate(token: str) -> str:
    """Return `token` encrypted anew with the first key; raises Unreadable."""
    return reseal(token, purpose=_PURPOSE, keys=_keys())


def _keys() -> tuple[str, ...]:
    # SECRET_KEY comes last, so that setting NOTIFICATION_KEYS for the first time loses nothing.
    return (*settings.NOTIFICATION_KEYS, settings.SECRET_KEY)
