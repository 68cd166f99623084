"""The broker's address: what may stand in it, and the files of TLS that it names."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.certificate_folder import CertificateFolder
from fleet.mqtt.probe import BrokerUnfitError, probe_broker
from tests.bridges import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> CertificateFolder:
    folder = CertificateFolder(tmp_path)
    folder.write(names=["localhost"], clients=["boiler"], now=datetime.now(UTC))
    return folder


def test_an_address_with_all_that_it_may_have() -> None:
    address = BrokerAddress.from_url("mqtts://u%40x:p%2Fw@[::1]?ca=/a%20b/ca.crt&cert=c.crt&key=c.key")
    assert (address.host, address.port, address.username, address.password) == ("::1", 8883, "u@x", "p/w")
    assert (address.tls, address.ca_file) == (True, "/a b/ca.crt")
    assert (address.cert_file, address.key_file) == ("c.crt", "c.key")
    assert "p/w" not in repr(address)


def test_without_tls_there_are_no_files_and_the_usual_port() -> None:
    address = BrokerAddress.from_url("mqtt://broker")
    assert (address.port, address.tls, address.ca_file, address.tls_context()) == (1883, False, None, None)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://broker", "must look like"),
        ("mqtts://", "must look like"),
        ("mqtts://broker?cafile=x", r"\?cafile=, which means nothing; files of TLS are ca, cert and key"),
        ("mqtt://broker?ca=x", "begins with mqtt://"),
        ("mqtts://broker?key=x", "names a key but no certificate"),
    ],
)
def test_what_is_wrong_in_an_address_is_said(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BrokerAddress.from_url(url)


def test_a_certificate_may_have_its_key_beside_it_or_in_the_same_file(folder: CertificateFolder) -> None:
    clients = folder.root / "authority" / "clients"
    both = folder.root / "both.pem"
    both.write_bytes((clients / "boiler.crt").read_bytes() + (clients / "boiler.key").read_bytes())
    for files in (f"cert={clients}/boiler.crt&key={clients}/boiler.key", f"cert={both}"):
        assert BrokerAddress.from_url(f"mqtts://broker?ca={folder.authority}&{files}").tls_context() is not None


def test_a_file_that_cannot_be_used_is_named(folder: CertificateFolder) -> None:
    clients, damaged = folder.root / "authority" / "clients", folder.root / "damaged"
    damaged.write_text("damaged")
    locked = folder.root / "locked.key"
    encrypt = ["openssl", "pkey", "-in", str(clients / "boiler.key"), "-aes256", "-passout", "pass:x"]
    subprocess.run([*encrypt, "-out", str(locked)], check=True)
    for files in (
        "ca=/nowhere",
        f"ca={damaged}",
        f"cert={clients}/boiler.crt",
        f"cert={damaged}",
        f"cert={clients}/boiler.crt&key={folder.root}/server.key",
        f"cert={clients}/boiler.crt&key={locked}",
    ):
        with pytest.raises(ValueError, match="MQTT_URL, c") as caught:
            BrokerAddress.from_url(f"mqtts://broker?{files}").tls_context()
        assert files.replace("&", ", ") in str(caught.value)


def test_who_starts_with_such_a_file_is_told_its_name(folder: CertificateFolder) -> None:
    with pytest.raises(BrokerUnfitError, match="ca=/nowhere"):
        probe_broker("mqtts://127.0.0.1:1?ca=/nowhere", 1)
    for command in (["bridge"], ["reshard", "2"]):
        ended = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**os.environ, "MQTT_URL": "mqtts://b:c@127.0.0.1:1?ca=/nowhere"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 1
        assert "CommandError: MQTT_URL, ca=/nowhere: no certificates of an authority" in ended.stderr
