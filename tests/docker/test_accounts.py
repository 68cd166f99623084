"""The broker's files of accounts; tests/docker/test_broker.py shows that mosquitto obeys."""

import json
import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from fleet.mqtt.accounts import (
    PLUGIN_NAME,
    AccountError,
    Login,
    Outcome,
    acl_text,
    plugin_text,
    read_passwords,
    write_accounts,
)
from sensors.secrets import HashedSecret, hash_secret

BRIDGE = Login("fleet-bridge", "secret")
SECRETS = {"boiler": hash_secret("boiler's"), "freezer": hash_secret("freezer's")}
FILES = {"passwords", "acl", PLUGIN_NAME}


def _contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()} if directory.exists() else {}


def _lets_in(directory: Path, login: Login) -> bool:
    return HashedSecret.parse(read_passwords(directory)[login.username]).matches(login.password)


def _sensors(directory: Path) -> list[str]:
    return [client["username"] for client in json.loads((directory / PLUGIN_NAME).read_text())["clients"]]


def test_the_files_hold_no_secret_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "accounts"
    assert write_accounts(directory, bridge=BRIDGE, accounts=SECRETS) == Outcome(True, True, 2)
    contents = _contents(directory)
    assert contents.keys() == FILES
    for password in ("secret\n", "boiler's", "freezer's"):
        assert password not in "".join(contents.values())
    assert _lets_in(directory, BRIDGE)
    assert _sensors(directory) == ["boiler", "freezer"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_a_second_call_changes_nothing_and_leaves_what_the_plugin_wrote(tmp_path: Path) -> None:
    assert write_accounts(tmp_path, bridge=BRIDGE) == Outcome(True, True, 0)
    (tmp_path / PLUGIN_NAME).write_text("written by the plugin")
    before = _contents(tmp_path)
    assert write_accounts(tmp_path, bridge=BRIDGE) == Outcome(False, False, 0)
    assert _contents(tmp_path) == before


def test_a_new_password_of_the_bridge_replaces_the_old_one(tmp_path: Path) -> None:
    write_accounts(tmp_path, bridge=BRIDGE)
    newer = Login("fleet-bridge", "newer")
    assert write_accounts(tmp_path, bridge=newer) == Outcome(True, False, 0)
    assert _lets_in(tmp_path, newer)
    assert not _lets_in(tmp_path, BRIDGE)


def test_what_is_made_anew_has_the_sensors_of_now_and_keeps_what_people_made() -> None:
    before = json.loads(plugin_text({**SECRETS, "gone": hash_secret("x")}))
    before["clients"].append({"username": "explorer", "roles": [{"rolename": "reader"}]})
    before["roles"].append({"rolename": "reader", "acls": []})
    after = json.loads(plugin_text(SECRETS, before=json.dumps(before)))
    assert sorted(client["username"] for client in after["clients"]) == ["boiler", "explorer", "freezer"]
    assert after["roles"] == before["roles"]


def test_by_default_the_plugin_allows_nothing() -> None:
    """Its own default lets every client receive everything."""
    access = json.loads(plugin_text({}))["defaultACLAccess"]
    assert not any(access[name] for name in ("publishClientSend", "publishClientReceive", "subscribe"))


@pytest.mark.parametrize("username", ["", "a:b", "a b", "a\nb", "+", "#", "a/b", "%u", "-a", "a" * 65, "ä", "boiler"])
def test_a_bridge_whose_name_the_files_cannot_hold_is_refused_and_nothing_is_written(
    tmp_path: Path, username: str
) -> None:
    with pytest.raises(AccountError, match="cannot be"):
        write_accounts(tmp_path, bridge=Login(username, "x"), accounts=SECRETS)
    assert _contents(tmp_path) == {}


def test_an_entry_made_by_mosquitto_passwd_is_kept(tmp_path: Path) -> None:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto is not installed")
    path = tmp_path / "passwords"
    subprocess.run([program, "-c", "-b", str(path), "explorer", "by hand"], check=True, capture_output=True)
    by_hand = read_passwords(tmp_path)["explorer"]
    write_accounts(tmp_path, bridge=BRIDGE)
    assert read_passwords(tmp_path)["explorer"] == by_hand


def test_a_file_that_is_no_password_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("fleet-bridge:x\nsomething else\n")
    before = _contents(tmp_path)
    with pytest.raises(AccountError, match="line 2"):
        write_accounts(tmp_path, bridge=BRIDGE)
    assert {name: text for name, text in _contents(tmp_path).items() if name in before} == before


def test_a_file_that_is_none_of_the_plugin_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / PLUGIN_NAME).write_text("something else")
    with pytest.raises(AccountError, match="dynamic-security"):
        write_accounts(tmp_path, bridge=BRIDGE, accounts=SECRETS)
    assert _contents(tmp_path) == {PLUGIN_NAME: "something else"}


def test_calls_at_once_lose_nothing(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=write_accounts, args=(tmp_path,), kwargs={"bridge": Login(f"b{n}", "x")})
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_passwords(tmp_path).keys() == {f"b{n}" for n in range(20)}
    assert _contents(tmp_path).keys() == FILES


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 1883, 1884)
    write_accounts(tmp_path, bridge=BRIDGE)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()} == {(1883, 1884)}


def test_the_access_list_names_the_bridge_and_refuses_a_name_that_would_add_lines() -> None:
    assert "user fleet-bridge\n" in acl_text(bridge="fleet-bridge")
    with pytest.raises(AccountError):
        acl_text(bridge="x\ntopic readwrite #")
