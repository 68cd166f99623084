"""Secrets of sensors and their hashes."""

import pytest

from sensors.secrets import HashedSecret, hash_secret, new_secret

# As `mosquitto_passwd -b FILE u1 pw1` of 2.0.11 wrote it.
BY_MOSQUITTO = (
    "$7$101$1EbNZeNtaVXKsKYd$hOGsomsaHnhEY/vVyOc9eDmIpWjBAUjeOY6LsLWNIlAw6a7KkFaj1uzk6WLDLKPccEmD8+ydwH8m2MEocPrv6g=="
)


def test_a_hash_made_by_mosquitto_passwd_is_understood() -> None:
    hashed = HashedSecret.parse(BY_MOSQUITTO)
    assert hashed.matches("pw1")
    assert not hashed.matches("pw2")
    assert str(hashed) == BY_MOSQUITTO


@pytest.mark.parametrize(
    "stored", ["", "x", "$6$a$b", "$7$0$YQ==$YQ==", "$7$x$YQ==$YQ==", "$7$101$!$!", "$7$101$YQ==$"]
)
def test_what_is_no_hash_is_refused(stored: str) -> None:
    with pytest.raises(ValueError, match=r"form|base64|unpack|int\(\)"):
        HashedSecret.parse(stored)


@pytest.mark.parametrize("password", ["a", "pässwörd with spaces:$7$", "x" * 200])
def test_every_hash_has_its_own_salt_and_matches_its_password_only(password: str) -> None:
    first, second = hash_secret(password), hash_secret(password)
    assert first != second
    assert first.matches(password)
    assert HashedSecret.parse(str(second)).matches(password)
    assert not first.matches(password + "x")


def test_secrets_are_long_random_and_need_no_quoting() -> None:
    secrets = {new_secret() for _ in range(1000)}
    # One in 64 would begin a formula in a spreadsheet, or an option of a program.
    assert not [secret for secret in secrets if secret.startswith("-")]
    assert len(secrets) == 1000
    assert all(len(secret) == 32 and secret.replace("-", "").replace("_", "").isalnum() for secret in secrets)
