"""`manage.py certificates`: what it says, and what it takes for the broker's names."""

import io
import json
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from fleet.mqtt.certificate_folder import CertificateFolder


def run(folder: Path, *arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("certificates", "--folder", str(folder), *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def as_json(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    answer = json.loads(run(folder, "--json", *arguments)[0])
    assert answer["folder"] == str(folder)
    found: list[dict[str, Any]] = answer["certificates"]
    return found


def names(folder: Path, *arguments: str) -> list[str]:
    found: list[str] = as_json(folder, *arguments)[1]["names"]
    return found


def test_it_says_what_was_made_and_when_it_ends_and_shows_no_key(tmp_path: Path) -> None:
    out, err = run(tmp_path, "--client", "boiler-1", "--name", "fleet.example.org")
    kinds = re.findall(r"^(\w+) +\S+: CN=(\S+).*; ends on \d{4}-\d\d-\d\d, in (\d+) days; new$", out, re.MULTILINE)
    assert [(kind, days) for kind, _, days in kinds] == [("authority", "3649"), ("server", "396"), ("client", "396")]
    assert [name for _, name, _ in kinds[1:]] == ["fleet.example.org", "boiler-1"]
    assert "Restart the broker" in err
    again, err = run(tmp_path, "--client", "boiler-1", "--name", "fleet.example.org")
    assert "new" not in again
    assert err == ""
    for path in tmp_path.rglob("*.key"):
        lines = path.read_text().splitlines()
        assert not any(line in out + again for line in lines)


def test_json_says_paths_subjects_names_and_ends(tmp_path: Path) -> None:
    authority, server, client = as_json(tmp_path, "--client", "boiler-1", "--days", "90")
    assert [each["kind"] for each in (authority, server, client)] == ["authority", "server", "client"]
    assert (server["path"], server["key"]) == (str(tmp_path / "server.crt"), str(tmp_path / "server.key"))
    assert (client["subject"], client["names"]) == ("CN=boiler-1", [])
    assert client["path"] == str(tmp_path / "authority/clients/boiler-1.crt")
    for each, days in ((authority, 3649), (server, 89), (client, 89)):
        assert each["days_left"] == days
        assert (datetime.fromisoformat(each["ends_at"]) - timezone.now()).days == days
        assert (each["new"], each["foreign"]) == (True, False)
    assert not any(each["new"] for each in as_json(tmp_path, "--show"))


def test_the_broker_s_names_are_those_given_or_the_machine_s_and_always_the_loopback(
    tmp_path: Path, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
    loopback = ["localhost", "127.0.0.1", "::1"]
    assert names(tmp_path / "a") == [socket.gethostname().lower(), *loopback]
    assert names(tmp_path / "b", "--name", "x.example.org", "--name", "10.0.0.1") == [
        *("x.example.org", "10.0.0.1"),
        *loopback,
    ]
    settings.ALLOWED_HOSTS = ["fleet.example.org", ".lab.example", "*", "localhost"]
    assert names(tmp_path / "c") == ["fleet.example.org", "lab.example", "*.lab.example", *loopback]
    settings.MQTT_NAMES = ["mqtt.example.org"]
    assert names(tmp_path / "d") == ["mqtt.example.org", *loopback]


def test_a_container_s_changing_host_name_makes_no_new_certificate(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]
    run(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "0123456789ab")
    assert not any(each["new"] for each in as_json(tmp_path))


def test_without_a_folder_it_is_the_local_stack_s(tmp_path: Path, settings: Any) -> None:
    settings.FLEET_DATA_DIR = tmp_path
    call_command("certificates", stdout=io.StringIO(), stderr=io.StringIO())
    assert (tmp_path / "certificates" / "ca.crt").exists()


def test_check_ends_with_3_when_something_ends_soon_and_show_does_not(tmp_path: Path) -> None:
    run(tmp_path, "--days", "40")
    run(tmp_path, "--check")
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, "--check", "--within-days", "40")
    assert ended.value.code == 3
    folder = CertificateFolder(tmp_path)
    before = folder.server_pair()
    folder.write(names=["localhost"], now=timezone.now(), days=20, renew=True)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, "--check")
    assert ended.value.code == 3
    out, err = run(tmp_path, "--show")
    assert "in 19 days" in out
    assert re.search(r"server\.crt ends on \S+, in 19 days\.", err)
    assert folder.server_pair() != before


def test_a_certificate_that_has_ended_is_said_to(tmp_path: Path) -> None:
    CertificateFolder(tmp_path).write(names=["localhost"], now=datetime(2020, 1, 1, tzinfo=UTC))
    assert re.search(r"server\.crt ended on 2021-", run(tmp_path, "--show")[1])
    (_, server) = as_json(tmp_path)
    assert server["new"]
    assert server["days_left"] == 396


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--client", "a/b"), "'a/b' cannot name a sensor"),
        (("--name", "a b"), "'a b' is neither a host name"),
        (("--client", "the-bridge"), "a login of the service itself"),
        (("--days", "0"), "no number of days from 1 to 3650"),
        (("--days", "3651"), "no number of days"),
        (("--show", "--renew"), "--show and --check change nothing"),
        (("--check", "--client", "a"), "--show and --check change nothing"),
        (("--show",), "there are no certificates in"),
        (("--check",), "there are no certificates in"),
    ],
)
def test_a_mistake_is_refused_and_writes_nothing(
    tmp_path: Path, settings: Any, arguments: tuple[str, ...], message: str
) -> None:
    settings.MQTT_RESERVED_USERNAMES = frozenset({"the-bridge"})
    with pytest.raises(CommandError, match=message):
        run(tmp_path / "new", *arguments)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="file/certificates"):
        run(tmp_path / "file" / "certificates")
