"""The folder of certificates: what is made, what stays, and who may read it."""

import os
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet.mqtt.certificate_folder import CertificateFolder
from fleet.mqtt.certificates import CertificateError, belong_together, is_issued_by, make_authority, make_server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOCAL = ("localhost", "127.0.0.1")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    return CertificateFolder(tmp_path / "new" / "certificates")


def write(folder: CertificateFolder, **options: Any) -> list[str]:
    """Return the names of the files that were made."""
    made = folder.write(**{"names": LOCAL, "now": NOW, **options})
    return [path.name for path in made]


def contents(folder: CertificateFolder) -> dict[str, bytes]:
    return {str(path.relative_to(folder.root)): path.read_bytes() for path in folder.root.rglob("*.*")}


def changed(before: dict[str, bytes], folder: CertificateFolder) -> set[str]:
    after = contents(folder)
    return {name for name in before | after if before.get(name) != after.get(name)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_run_makes_everything_and_a_second_one_nothing(folder: CertificateFolder) -> None:
    assert write(folder, clients=["boiler"]) == ["ca.crt", "server.crt", "boiler.crt"]
    before = contents(folder)
    assert set(before) == {
        *("ca.crt", "server.crt", "server.key", "authority/ca.crt", "authority/ca.key"),
        *("authority/clients/boiler.crt", "authority/clients/boiler.key"),
    }
    assert write(folder, clients=["boiler"], now=NOW + 300 * DAY) == []
    assert contents(folder) == before
    assert [(each.kind, each.facts.subject, each.is_foreign) for each in folder.held()[1:]] == [
        ("server", "CN=localhost", False),
        ("client", "CN=boiler", False),
    ]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_keys_are_for_their_owner_only_whatever_the_umask(folder: CertificateFolder, umask: int) -> None:
    before = os.umask(umask)
    try:
        write(folder, clients=["boiler"])
        write(folder, clients=["boiler"], renew=True)
        write(folder, renew=True)
    finally:
        os.umask(before)
    keys = list(folder.root.rglob("*.key"))
    assert len(keys) == 3
    assert {mode(path) for path in keys} == {0o600}
    assert mode(folder.root / "authority") == 0o700
    # Sensors of this machine's other users read it.
    assert mode(folder.authority) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_makes_for_the_broker_is_the_broker_s_and_the_authority_is_not(folder: CertificateFolder) -> None:
    folder.root.mkdir(parents=True)
    os.chown(folder.root, 1883, 1883)
    write(folder, clients=["boiler"])
    owners = {str(path.relative_to(folder.root)): path.stat().st_uid for path in folder.root.rglob("*.*")}
    assert {name for name, owner in owners.items() if owner == 1883} == {"ca.crt", "server.crt", "server.key"}
    assert owners["authority/ca.key"] == owners["authority/clients/boiler.key"] == 0


def test_a_renewal_keeps_the_authority_and_the_names(folder: CertificateFolder) -> None:
    write(folder, names=["a.example.org"], clients=["boiler"])
    before = contents(folder)
    assert write(folder, names=["localhost"], renew=True) == ["server.crt"]
    assert changed(before, folder) == {"server.crt", "server.key"}
    assert folder.held()[1].facts.names == ("a.example.org", "localhost")
    assert is_issued_by(folder.server.read_bytes(), before["ca.crt"])


def test_a_client_s_renewal_is_its_own(folder: CertificateFolder) -> None:
    write(folder, clients=["boiler", "freezer"])
    before = contents(folder)
    assert write(folder, clients=["boiler"], renew=True) == ["boiler.crt"]
    assert changed(before, folder) == {"authority/clients/boiler.crt", "authority/clients/boiler.key"}


@pytest.mark.parametrize(("days", "made"), [(31, []), (30, ["server.crt"]), (-5, ["server.crt"])])
def test_a_certificate_is_made_anew_within_30_days_of_its_end(
    folder: CertificateFolder, days: int, made: list[str]
) -> None:
    write(folder, days=100)
    authority = folder.authority.read_bytes()
    assert write(folder, now=NOW + (100 - days) * DAY) == made
    assert folder.authority.read_bytes() == authority


def test_a_client_s_is_made_anew_when_it_is_asked_for_again_near_its_end(folder: CertificateFolder) -> None:
    write(folder, clients=["boiler"], days=100)
    assert write(folder, clients=["boiler"], now=NOW + 80 * DAY) == ["server.crt", "boiler.crt"]


def test_a_name_that_is_missing_makes_a_new_certificate_and_fewer_names_do_not(folder: CertificateFolder) -> None:
    write(folder)
    assert write(folder, names=[*LOCAL, "10.0.0.1"]) == ["server.crt"]
    assert write(folder, names=["LOCALHOST"]) == []
    assert folder.held()[1].facts.names == ("localhost", "127.0.0.1", "10.0.0.1")


def test_near_the_authority_s_end_nothing_is_made_again_and_again(folder: CertificateFolder) -> None:
    write(folder)
    near = NOW + (3650 - 20) * DAY
    assert write(folder, now=near) == ["server.crt"]
    assert write(folder, now=near + DAY) == []
    assert [each.ends_within(timedelta(days=30), now=near) for each in folder.held()] == [True, True]


def test_only_who_asks_for_it_gets_another_authority(folder: CertificateFolder) -> None:
    write(folder, clients=["boiler"])
    before = contents(folder)
    assert write(folder, replace_authority=True) == ["ca.crt", "server.crt"]
    assert changed(before, folder) == {"ca.crt", "authority/ca.crt", "authority/ca.key", "server.crt", "server.key"}
    assert [each.is_foreign for each in folder.held()] == [False, False, True]
    assert write(folder, clients=["boiler"]) == ["boiler.crt"]
    assert not any(each.is_foreign for each in folder.held())


def test_while_the_authority_s_key_is_elsewhere_all_that_is_there_stays_and_nothing_is_made(
    folder: CertificateFolder, tmp_path: Path
) -> None:
    write(folder)
    shutil.move(folder.root / "authority", tmp_path / "safe")
    before = contents(folder)
    assert write(folder, now=NOW + 390 * DAY) == []
    for asked in ({"renew": True}, {"clients": ["boiler"]}):
        with pytest.raises(CertificateError, match=r"ca\.key is not there"):
            write(folder, **asked)
    assert contents(folder) == before
    shutil.move(tmp_path / "safe", folder.root / "authority")
    assert write(folder, now=NOW + 390 * DAY) == ["server.crt"]


def test_a_broker_s_certificate_from_elsewhere_is_not_overwritten(folder: CertificateFolder) -> None:
    write(folder)
    other = make_server(make_authority(now=NOW), ["fleet.example.org"], now=NOW, days=5)
    folder.server.write_bytes(other.certificate)
    folder.server.with_suffix(".key").write_bytes(other.key)
    assert write(folder) == []
    assert folder.server_pair() == other
    assert folder.held()[1].is_foreign
    assert write(folder, renew=True) == ["server.crt"]
    # Also where nothing else is.
    shutil.rmtree(folder.root / "authority")
    folder.authority.unlink()
    folder.server.write_bytes(other.certificate)
    folder.server.with_suffix(".key").write_bytes(other.key)
    assert write(folder) == []
    assert not folder.held()[0].is_foreign


def test_sensors_own_bundle_of_authorities_stays(folder: CertificateFolder) -> None:
    write(folder)
    bundle = make_authority(now=NOW).certificate + folder.authority.read_bytes()
    folder.authority.write_bytes(bundle)
    assert write(folder, renew=True) == ["server.crt"]
    assert folder.authority.read_bytes() == bundle


@pytest.mark.parametrize("name", ["server", "authority/clients/boiler"])
def test_half_a_pair_that_a_killed_run_left_is_made_whole(folder: CertificateFolder, name: str) -> None:
    write(folder, clients=["boiler"])
    certificate, key = folder.root / f"{name}.crt", folder.root / f"{name}.key"
    before = certificate.read_bytes()
    write(folder, clients=["boiler"], renew=True) if "boiler" in name else write(folder, renew=True)
    # The key is written first.
    certificate.write_bytes(before)
    assert write(folder, clients=["boiler"]) == [certificate.name]
    key.unlink()
    assert write(folder, clients=["boiler"]) == [certificate.name]
    assert belong_together(folder.server_pair())


def test_an_authority_s_lost_certificate_is_made_again_for_its_key(folder: CertificateFolder) -> None:
    write(folder)
    key = folder.root / "authority" / "ca.key"
    before = key.read_bytes()
    folder.authority.unlink()
    (folder.root / "authority" / "ca.crt").unlink()
    assert write(folder) == ["ca.crt"]
    assert key.read_bytes() == before
    assert is_issued_by(folder.server.read_bytes(), folder.authority.read_bytes())


def test_a_key_of_another_authority_is_named_and_nothing_is_written(folder: CertificateFolder) -> None:
    write(folder)
    (folder.root / "authority" / "ca.key").write_bytes(make_authority(now=NOW).key)
    before = contents(folder)
    with pytest.raises(CertificateError, match=r"ca\.key is not the key of ca\.crt"):
        write(folder, renew=True)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [({"clients": ["boiler", "a/b"]}, "cannot name a sensor"), ({"names": ["a b"]}, "neither a host name")],
)
def test_a_mistake_is_found_before_anything_is_written(
    folder: CertificateFolder, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CertificateError, match=message):
        write(folder, **options)
    assert not folder.root.exists()


def test_a_damaged_file_is_named(folder: CertificateFolder) -> None:
    write(folder)
    folder.server.write_text("damaged")
    with pytest.raises(CertificateError, match=r"server\.crt: no certificate"):
        folder.held()
    with pytest.raises(CertificateError, match=r"server\.crt: no certificate"):
        write(folder)


def test_two_first_runs_at_once_make_one_authority(folder: CertificateFolder) -> None:
    run = (
        "import sys; from datetime import datetime, UTC; from pathlib import Path\n"
        "from fleet.mqtt.certificate_folder import CertificateFolder\n"
        "made = CertificateFolder(Path(sys.argv[1])).write(names=['localhost'], now=datetime.now(UTC))\n"
        "print(len(made))"
    )
    command = [sys.executable, "-c", run, str(folder.root)]
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sorted(process.communicate(timeout=30)[0].strip() for process in runs) == ["0", "0", "0", "2"]
    assert [each.is_foreign for each in folder.held()] == [False, False]
    assert belong_together(folder.server_pair())
