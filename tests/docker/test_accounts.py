"""The broker's password file and access list as files; tests/docker/test_broker.py shows that mosquitto obeys."""

import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from fleet.mqtt.accounts import (
    AccountError,
    Login,
    acl_text,
    hash_password,
    new_secret,
    password_matches,
    read_passwords,
    write_accounts,
)

BRIDGE = Login("fleet-bridge", "secret")
# As `mosquitto_passwd -b FILE u1 pw1` of 2.0.11 wrote it.
BY_MOSQUITTO = (
    "$7$101$1EbNZeNtaVXKsKYd$hOGsomsaHnhEY/vVyOc9eDmIpWjBAUjeOY6LsLWNIlAw6a7KkFaj1uzk6WLDLKPccEmD8+ydwH8m2MEocPrv6g=="
)


def _contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()} if directory.exists() else {}


def test_a_hash_made_by_mosquitto_passwd_is_understood() -> None:
    assert password_matches("pw1", stored=BY_MOSQUITTO)
    assert not password_matches("pw2", stored=BY_MOSQUITTO)


@pytest.mark.parametrize(
    "stored", ["", "x", "$6$a$b", "$7$0$YQ==$YQ==", "$7$x$YQ==$YQ==", "$7$101$!$!", "$7$101$YQ==$"]
)
def test_what_is_no_hash_matches_nothing(stored: str) -> None:
    assert not password_matches("", stored=stored)


@pytest.mark.parametrize("password", ["a", "pässwörd with spaces:$7$", "x" * 200])
def test_every_hash_has_its_own_salt_and_matches_its_password_only(password: str) -> None:
    first, second = hash_password(password), hash_password(password)
    assert first != second
    assert password_matches(password, stored=first)
    assert password_matches(password, stored=second)
    assert not password_matches(password + "x", stored=first)


def test_secrets_are_long_random_and_need_no_quoting() -> None:
    secrets = {new_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert all(len(secret) == 32 and secret.replace("-", "").replace("_", "").isalnum() for secret in secrets)


def test_the_files_hold_no_secret_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "accounts"
    outcome = write_accounts(directory, bridge=BRIDGE, wanted=["boiler", "freezer", "boiler"])
    assert [login.username for login in outcome.issued] == ["boiler", "freezer"]
    assert outcome.changed
    contents = _contents(directory)
    assert contents.keys() == {"passwords", "acl"}
    for login in (*outcome.issued, BRIDGE):
        assert login.password not in "".join(contents.values())
        assert password_matches(login.password, stored=read_passwords(directory)[login.username])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler"])
    before = _contents(tmp_path)
    outcome = write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler"])
    assert (outcome.issued, outcome.kept, outcome.changed) == ((), ("boiler",), False)
    assert _contents(tmp_path) == before


def test_rotation_gives_a_new_secret_to_those_named_only(tmp_path: Path) -> None:
    (old, _) = write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler", "freezer"]).issued
    before = read_passwords(tmp_path)
    (new,) = write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler"], rotate=True).issued
    after = read_passwords(tmp_path)
    assert new.username == old.username
    assert new.password != old.password
    assert {name for name in before if before[name] != after[name]} == {"boiler"}


def test_a_new_password_of_the_bridge_replaces_the_old_one(tmp_path: Path) -> None:
    write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler"])
    assert write_accounts(tmp_path, bridge=Login("fleet-bridge", "newer")).changed
    entries = read_passwords(tmp_path)
    assert password_matches("newer", stored=entries["fleet-bridge"])
    assert entries.keys() == {"fleet-bridge", "boiler"}


def test_removing_an_account_leaves_the_others(tmp_path: Path) -> None:
    write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler", "freezer"])
    outcome = write_accounts(tmp_path, bridge=BRIDGE, unwanted=["boiler", "unknown"])
    assert outcome.removed == ("boiler",)
    assert read_passwords(tmp_path).keys() == {"fleet-bridge", "freezer"}


@pytest.mark.parametrize(
    "username", ["", "a:b", "a b", "a\nb", "+", "#", "a/b", "%u", "-a", "a" * 65, "ä", "fleet-bridge"]
)
def test_a_name_that_the_files_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path, username: str) -> None:
    write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler"])
    before = _contents(tmp_path)
    with pytest.raises(AccountError, match="cannot be"):
        write_accounts(tmp_path, bridge=BRIDGE, wanted=["freezer", username])
    assert _contents(tmp_path) == before


def test_an_entry_made_by_mosquitto_passwd_is_kept(tmp_path: Path) -> None:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto is not installed")
    path = tmp_path / "passwords"
    subprocess.run([program, "-c", "-b", str(path), "explorer", "by hand"], check=True, capture_output=True)
    by_hand = read_passwords(tmp_path)["explorer"]
    write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler"])
    assert read_passwords(tmp_path)["explorer"] == by_hand
    assert password_matches("by hand", stored=by_hand)


def test_a_file_that_is_no_password_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("fleet-bridge:x\nsomething else\n")
    before = _contents(tmp_path)
    with pytest.raises(AccountError, match="line 2"):
        write_accounts(tmp_path, bridge=BRIDGE, wanted=["boiler"])
    assert _contents(tmp_path) == before


def test_calls_at_once_lose_nothing(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=write_accounts, args=(tmp_path,), kwargs={"bridge": BRIDGE, "wanted": [f"s{n}"]})
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_passwords(tmp_path).keys() == {"fleet-bridge", *(f"s{n}" for n in range(20))}
    assert _contents(tmp_path).keys() == {"passwords", "acl"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 1883, 1884)
    write_accounts(tmp_path, bridge=BRIDGE)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()} == {(1883, 1884)}


def test_the_access_list_names_the_bridge_and_refuses_a_name_that_would_add_lines() -> None:
    assert "user fleet-bridge\n" in acl_text(bridge="fleet-bridge")
    with pytest.raises(AccountError):
        acl_text(bridge="x\ntopic readwrite #")
