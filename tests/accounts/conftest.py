"""People's accounts, over Django's client: mail goes to a list, hashes cost nothing."""

import secrets

import pytest

from sensors.models import User
from tests.accounts.people import PASSWORD, mailed
from tests.api.callers import make_user


@pytest.fixture(autouse=True)
def _fast_passwords(settings):
    """Hashes that cost nothing: not their strength is tested here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _no_mail_left(settings):
    """Leave no mail on its way to the next test's list."""
    yield
    mailed()


@pytest.fixture
def ada(db) -> User:
    user = make_user("ada", password=PASSWORD)
    # Of its own: requests for links are counted by it.
    user.email = f"{secrets.token_hex(4)}@example.org"
    user.save()
    return user


@pytest.fixture
def strict(settings):
    """Three attempts an hour."""
    rates = {"caller": "12000/min", "login": "3/h"}
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}


@pytest.fixture
def redis_away(settings):
    """No Redis, neither for counters nor for the cache."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": settings.REDIS_URL}
    }
