"""The small files and locks of the data folder."""

import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.stack.accounts import Account, can_enter
from fleet.stack.environment import CHECKOUT
from fleet.stack.errors import StackError
from fleet.stack.lock import DataLock
from fleet.stack.places import DataDir, Home, trim_log
from fleet.stack.secret_file import load_secrets

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def nobody() -> Account:
    entry = pwd.getpwnam("nobody")
    return Account("nobody", entry.pw_uid, entry.pw_gid)


def test_secrets_are_generated_once_and_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = load_secrets(path)
    assert load_secrets(path) == first
    assert mode(path) == 0o600
    values = list(json.loads(path.read_text()).values())
    assert len(set(values)) == len(values) == 6
    assert all(len(value) == 64 for value in values)


def test_a_secret_that_is_missing_is_added_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = load_secrets(path)
    known = json.loads(path.read_text())
    del known["valkey"]
    path.write_text(json.dumps(known))
    again = load_secrets(path)
    assert (again.postgres, again.secret_key) == (first.postgres, first.secret_key)
    assert again.valkey not in ("", first.valkey)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_a_damaged_file_of_secrets_is_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)
    with pytest.raises(StackError, match="is damaged"):
        load_secrets(path)
    assert path.read_text() == text


def test_secrets_do_not_show_in_a_representation(tmp_path: Path) -> None:
    secrets = load_secrets(tmp_path / "secrets.json")
    assert repr(secrets) == "LocalSecrets()"


def test_the_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold = (
        "import sys; from pathlib import Path; from fleet.stack.lock import DataLock; "
        "DataLock(Path(sys.argv[1])).acquire(); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(StackError, match=rf"already running .*\(pid {holder.pid}\)"):
            DataLock(path).acquire()
        holder.kill()
        holder.wait()
    lock = DataLock(path)
    lock.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_the_data_folder_is_closed_and_as_root_only_to_be_passed(tmp_path: Path) -> None:
    place = DataDir(tmp_path / "a" / "b")
    place.create()
    place.create()
    assert mode(place.root) == (0o711 if os.geteuid() == 0 else 0o700)
    assert mode(place.logs) == 0o700


def test_a_large_log_makes_room_and_a_program_that_has_it_open_goes_on_writing(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    with path.open("ab", buffering=0) as program:
        program.write(b"x" * 2000)
        trim_log(path, limit_bytes=2000)
        assert path.stat().st_size == 2000
        trim_log(path, limit_bytes=1999)
        program.write(b"more")
    assert path.read_bytes() == b"more"
    assert (tmp_path / "web.log.1").read_bytes() == b"x" * 2000


@as_root
def test_a_home_belongs_to_its_account_with_all_that_is_in_it(tmp_path: Path) -> None:
    home = tmp_path / "server"
    home.mkdir()
    (home / "old").touch()
    Home.create(home, nobody())
    assert {path.stat().st_uid for path in (home, home / "old")} == {nobody().uid}
    assert mode(home) == 0o755 or mode(home) == 0o700


@as_root
def test_a_settings_file_is_its_account_s_only_and_follows_no_link(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "server", nobody())
    target = tmp_path / "target"
    target.write_text("untouched")
    (tmp_path / "server.conf").symlink_to(target)
    path = home.write("conf", "password x")
    assert target.read_text() == "untouched"
    assert not path.is_symlink()
    assert (mode(path), path.stat().st_uid) == (0o600, nobody().uid)


@as_root
def test_root_looks_at_folders_with_the_eyes_of_the_server_s_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert can_enter(tmp_path, None)
    assert not can_enter(tmp_path, nobody())
    assert can_enter(Path("/"), nobody(), and_read=True)


@as_root
def test_a_home_of_another_user_is_explained(tmp_path: Path) -> None:
    os.chown(tmp_path, nobody().uid, -1)
    with pytest.raises(StackError, match="belongs to another user"):
        Home.create(tmp_path, None)
