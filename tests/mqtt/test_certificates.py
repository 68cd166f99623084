"""What the certificates say, judged by another reader than the one that wrote them: OpenSSL, through `ssl`."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleet.mqtt.certificates import (
    CertificateError,
    Pair,
    belong_together,
    canonical_name,
    is_issued_by,
    make_authority,
    make_client,
    make_server,
    read_certificate,
)

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Pair:
    return make_authority(now=NOW)


def shake_hands(
    folder: Path, server: Pair, trusted: bytes, name: str, *, client: Pair | None = None, client_authority: bytes = b""
) -> None:
    """Let a client that trusts `trusted` and asks for `name` meet a server with that pair; SSLError if it fails.

    client, client_authority: the client shows that one to a server that insists on one of that authority. Both
    sides hold to RFC 5280 by the letter, as Python does by default from 3.13 on.
    """
    asks = ssl.create_default_context(cadata=trusted.decode())
    answers = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for context, pair in ((answers, server), (asks, client)):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        if pair is not None:
            (folder / "pair.pem").write_bytes(pair.certificate + pair.key)
            context.load_cert_chain(folder / "pair.pem")
    if client_authority:
        answers.load_verify_locations(cadata=client_authority.decode())
        answers.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        asks.wrap_bio(to_client, to_server, server_hostname=name),
        answers.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
    assert sides == []


def test_a_server_is_trusted_by_each_of_its_names_and_by_no_other(tmp_path: Path, authority: Pair) -> None:
    server = make_server(authority, ["broker.example.org", "127.0.0.1", "::1", "*.lab.example"], now=NOW)
    for name in ("broker.example.org", "127.0.0.1", "::1", "x.lab.example"):
        shake_hands(tmp_path, server, authority.certificate, name)
    for name in ("example.org", "127.0.0.2", "lab.example"):
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            shake_hands(tmp_path, server, authority.certificate, name)


def test_another_authority_s_server_is_not_trusted(tmp_path: Path, authority: Pair) -> None:
    server = make_server(authority, ["localhost"], now=NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(tmp_path, server, make_authority(now=NOW).certificate, "localhost")


def test_a_client_shows_who_it_is_and_a_server_s_certificate_cannot_stand_in_for_it(
    tmp_path: Path, authority: Pair
) -> None:
    server, client = make_server(authority, ["localhost"], now=NOW), make_client(authority, "boiler-1", now=NOW)
    trusted = authority.certificate
    shake_hands(tmp_path, server, trusted, "localhost", client=client, client_authority=trusted)
    with pytest.raises(ssl.SSLError):
        shake_hands(tmp_path, server, trusted, "localhost", client=server, client_authority=trusted)
    with pytest.raises(ssl.SSLError):
        shake_hands(tmp_path, client, trusted, "boiler-1")


def test_an_authority_signs_certificates_for_ten_years_and_no_further_authorities(authority: Pair) -> None:
    certificate = x509.load_pem_x509_certificate(authority.certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert read_certificate(authority.certificate).ends_at == NOW + 3650 * DAY
    assert is_issued_by(authority.certificate, authority.certificate)


@pytest.mark.parametrize(
    ("kind", "purpose"), [("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)]
)
def test_a_leaf_has_one_purpose_and_397_days_and_began_before_clocks_that_run_behind(
    authority: Pair, kind: str, purpose: x509.ObjectIdentifier
) -> None:
    pair = make_server(authority, ["a"], now=NOW) if kind == "server" else make_client(authority, "a", now=NOW)
    facts = read_certificate(pair.certificate)
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (facts.subject, facts.ends_at) == ("CN=a", NOW + 397 * DAY)
    # The authority is no older, so neither is what it signs.
    assert facts.not_before == NOW - HOUR
    assert belong_together(pair)
    assert is_issued_by(pair.certificate, authority.certificate)
    assert "PRIVATE" not in repr(pair)


def test_nothing_outlives_its_authority_and_an_ended_one_signs_nothing() -> None:
    authority = make_authority(now=NOW, days=10)
    assert read_certificate(make_server(authority, ["a"], now=NOW).certificate).ends_at == NOW + 10 * DAY
    with pytest.raises(CertificateError, match="the authority ended on"):
        make_client(authority, "a", now=NOW + 10 * DAY)


def test_an_authority_for_the_same_key_stands_for_what_the_lost_one_signed(tmp_path: Path, authority: Pair) -> None:
    again = make_authority(now=NOW, key=authority.key)
    assert again.certificate != authority.certificate
    shake_hands(tmp_path, make_server(authority, ["localhost"], now=NOW), again.certificate, "localhost")


def test_names_are_written_once_and_in_one_form(authority: Pair) -> None:
    names = ["Fleet.Example.org.", "fleet.example.org", "[::1]", "0:0:0:0:0:0:0:1", "10.0.0.1"]
    pair = make_server(authority, names, now=NOW)
    assert read_certificate(pair.certificate).names == ("fleet.example.org", "::1", "10.0.0.1")


def test_a_name_too_long_for_the_subject_is_a_name_all_the_same(tmp_path: Path, authority: Pair) -> None:
    name = f"{'x' * 60}.example.org"
    pair = make_server(authority, [name], now=NOW)
    assert read_certificate(pair.certificate).subject == "CN=broker"
    shake_hands(tmp_path, pair, authority.certificate, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "-a",
        "a-",
        "a..b",
        "bücher.example",
        "300.1.1.1",
        "7",
        "a/b",
        "*",
        "a.*.b",
        "x" * 64,
        "a" + ".b" * 127,
    ],
)
def test_what_is_no_name_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(CertificateError, match="is neither a host name nor an IP address") as caught:
        canonical_name(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["localhost", "a", "my_host", "1.2.3.x", "xn--bcher-kva.example", "*.example.org"])
def test_names_that_people_give_their_machines_are_taken(text: str) -> None:
    assert canonical_name(text) == text


@pytest.mark.parametrize("identifier", ["", "a b", "-a", "a.b", "a/b", "ä", "x" * 65, "a\n"])
def test_only_what_can_name_a_sensor_becomes_a_client(authority: Pair, identifier: str) -> None:
    with pytest.raises(CertificateError, match="cannot name a sensor"):
        make_client(authority, identifier, now=NOW)


def test_the_longest_identifier_fits_into_a_common_name(authority: Pair) -> None:
    pair = make_client(authority, "x" * 64, now=NOW)
    assert read_certificate(pair.certificate).subject == f"CN={'x' * 64}"


def test_a_key_of_another_authority_signs_nothing(authority: Pair) -> None:
    mixed = Pair(authority.certificate, make_authority(now=NOW).key)
    assert not belong_together(mixed)
    with pytest.raises(CertificateError, match="not that of its certificate"):
        make_server(mixed, ["a"], now=NOW)


@pytest.mark.parametrize("pem", [b"", b"text", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_or_key_is_an_error_of_its_own(pem: bytes) -> None:
    with pytest.raises(CertificateError, match="no certificate in PEM"):
        read_certificate(pem)
    with pytest.raises(CertificateError, match="no private key in PEM"):
        make_authority(now=NOW, key=pem)
