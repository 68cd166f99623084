"""Certificates for MQTT over TLS: a small authority of one's own, the broker's certificate, sensors' certificates.

Pure: works on PEM in memory, reads no file and no clock, speaks no MQTT. Keys are ECDSA on P-256, which every TLS
library of the last ten years knows and which small devices can afford. `fleet/mqtt/certificate_folder.py` keeps the
files.
"""

import contextlib
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sensors.wire import is_identifier

# Every sensor has the authority's certificate in its memory; changing it means visiting each of them.
AUTHORITY_DAYS: Final = 3_650
# With the hour below still within the 398 days that browsers and operating systems allow.
DAYS: Final = 397
# Sensors' clocks run behind; a certificate that is valid from now on would be refused by them.
BACKDATED: Final = timedelta(hours=1)
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
# What a common name may hold (RFC 5280, appendix A.1).
MAX_COMMON_NAME: Final = 64

# One of RSA is somebody's own, made elsewhere.
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# The last label is no number: what looks like an address and is none shall not pass for a name.
_NAME: Final = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)*(?!\d+$){_LABEL}")


class CertificateError(Exception):
    """Something that cannot be made or read as asked; the text says what and why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says. subject: as `CN=…`; names: host names and addresses that it is for, in its order."""

    subject: str
    names: tuple[str, ...]
    not_before: datetime
    ends_at: datetime


def canonical_name(text: str) -> str:
    """Return the host name or address in `text` as certificates hold it; CertificateError if it is neither.

    Addresses in their shortest form and without brackets, names in lower case; `*.example.org` is a name.
    """
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    name = text.lower().rstrip(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise CertificateError(
            f"{text!r} is neither a host name nor an IP address; names with other letters are written in their "
            "ASCII form (xn--…)"
        )
    return name


def usable_names(hosts: Iterable[str]) -> list[str]:
    """Return those of `hosts` that can stand in a certificate, as `canonical_name` writes them, each once."""
    names = []
    for host in hosts:
        with contextlib.suppress(CertificateError):
            names.append(canonical_name(host))
    return list(dict.fromkeys(names))


def check_identifier(text: str) -> None:
    """Raise CertificateError unless `text` can name a sensor."""
    if not is_identifier(text):
        raise CertificateError(
            f"{text!r} cannot name a sensor: a letter or digit, then up to 63 letters, digits, hyphens or underscores"
        )


def make_authority(*, now: datetime, days: int = AUTHORITY_DAYS, key: bytes | None = None) -> Pair:
    """Return a new authority: it signs servers and clients, and no further authorities.

    key: an existing one; what it signed as an authority of before stays good. Its name ends in eight digits of its
    key, so that two of them can be told apart. Raises CertificateError.
    """
    own = _new_key() if key is None else _load_key(key)
    digits = x509.SubjectKeyIdentifier.from_public_key(own.public_key()).digest.hex()[:8]
    name = _name(f"Fleet CA {digits}")
    certificate = (
        _builder(name, name, own, not_before=now - BACKDATED, ends_at=now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(own, SHA256())
    )
    return _pair(certificate, own)


def make_server(authority: Pair, names: Sequence[str], *, now: datetime, days: int = DAYS) -> Pair:
    """Return a certificate for the server that is reached by `names` (host names and IP addresses), and its key.

    Ends after `days`, and never after its authority. Raises CertificateError.
    """
    canonical = list(dict.fromkeys(canonical_name(name) for name in names))
    if not canonical:
        raise CertificateError("a server's certificate needs at least one name")
    common_name = next((name for name in canonical if len(name) <= MAX_COMMON_NAME), "broker")
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in canonical])
    return _make_leaf(authority, common_name, ExtendedKeyUsageOID.SERVER_AUTH, alternatives, now=now, days=days)


def make_client(authority: Pair, identifier: str, *, now: datetime, days: int = DAYS) -> Pair:
    """Return a certificate with which the sensor `identifier` shows who it is (common name), and its key.

    Ends after `days`, and never after its authority. Raises CertificateError.
    """
    check_identifier(identifier)
    return _make_leaf(authority, identifier, ExtendedKeyUsageOID.CLIENT_AUTH, None, now=now, days=days)


def read_certificate(pem: bytes) -> Facts:
    """Return what the (first) certificate in `pem` says; CertificateError if there is none."""
    certificate = _load_certificate(pem)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(each.value) for each in found if isinstance(each, (x509.DNSName, x509.IPAddress)))
    except x509.ExtensionNotFound:
        names = ()
    return Facts(
        subject=certificate.subject.rfc4514_string(),
        names=names,
        not_before=certificate.not_valid_before_utc,
        ends_at=certificate.not_valid_after_utc,
    )


def belong_together(pair: Pair) -> bool:
    """Return whether the key is that of the certificate; raises CertificateError for what is neither."""
    public = _load_key(pair.key).public_key()
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _load_certificate(pair.certificate).public_key().public_bytes(*form) == public.public_bytes(*form)


def is_issued_by(certificate: bytes, authority: bytes) -> bool:
    """Return whether the authority (a certificate) has signed `certificate`; raises CertificateError."""
    try:
        _load_certificate(certificate).verify_directly_issued_by(_load_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _make_leaf(
    authority: Pair,
    common_name: str,
    purpose: x509.ObjectIdentifier,
    alternatives: x509.SubjectAlternativeName | None,
    *,
    now: datetime,
    days: int,
) -> Pair:
    issuer, issuer_key = _load_certificate(authority.certificate), _load_key(authority.key)
    if not belong_together(authority):
        raise CertificateError("the authority's key is not that of its certificate")
    if now >= issuer.not_valid_after_utc:
        raise CertificateError(f"the authority ended on {issuer.not_valid_after_utc:%Y-%m-%d}")
    key = _new_key()
    builder = _builder(
        _name(common_name),
        issuer.subject,
        key,
        not_before=max(now - BACKDATED, issuer.not_valid_before_utc),
        ends_at=min(now + timedelta(days=days), issuer.not_valid_after_utc),
    )
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_key_identifier(issuer), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return _pair(builder.sign(issuer_key, SHA256()), key)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    *,
    not_before: datetime,
    ends_at: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Certificates know whole seconds.
        .not_valid_before(not_before.astimezone(UTC).replace(microsecond=0))
        .not_valid_after(ends_at.astimezone(UTC).replace(microsecond=0))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _pair(certificate: x509.Certificate, key: Key) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _load_certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except ValueError as error:
        raise CertificateError("no certificate in PEM") from error


def _load_key(pem: bytes) -> Key:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        # TypeError: it is encrypted, and nobody is there to be asked for the password.
        raise CertificateError("no private key in PEM without a password") from error
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise CertificateError("the private key is neither of an elliptic curve nor RSA")
    return key
