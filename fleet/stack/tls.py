"""MQTT over TLS at the local broker: its listeners, and a certificate that needs nobody's care.

Imported only where TLS is wanted: reading certificates takes 8 MB of memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from fleet.mqtt.certificate_folder import RENEWED_BEFORE, CertificateFolder
from fleet.mqtt.certificates import CertificateError, Pair, read_certificate, usable_names

from .errors import StackError

# Only these end with a key that nobody can recompute later. They also exist in no TLS before 1.2, which mosquitto's
# WebSocket listeners allow where the system does: `tls_version` means nothing to them.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(slots=True)
class Tls:
    """Where the broker listens with TLS, and for which names.

    host: an IP address; port: MQTT; websocket_port: MQTT in WebSockets; certificates: the folder that
    `manage.py certificates` works on, too; names: by which sensors reach the broker.
    """

    host: str
    port: int
    websocket_port: int
    certificates: Path
    names: Sequence[str]
    _used: bytes = field(default=b"", repr=False)
    _renewed_at: datetime | None = None

    @property
    def ca_file(self) -> Path:
        """The certificate that sensors must trust."""
        return CertificateFolder(self.certificates).authority

    def take_pair(self, *, now: datetime) -> Pair:
        """Return the broker's certificate and key, made first if they have to be; StackError says what is wrong."""
        folder = CertificateFolder(self.certificates)
        try:
            folder.write(names=usable_names(self.names), now=now)
            pair = folder.server_pair()
            renewed_at = read_certificate(pair.certificate).ends_at - RENEWED_BEFORE
        except (CertificateError, OSError) as error:
            raise StackError(f"The broker's certificate in {self.certificates} cannot be used: {error}") from error
        self._used = pair.certificate
        # One that was not renewed now, because its authority ends or is elsewhere, would not be later.
        self._renewed_at = renewed_at if renewed_at > now else None
        return pair

    def is_due(self, *, now: datetime) -> bool:
        """Return whether the broker should start anew to take another certificate: a renewed one, or a person's."""
        if self._renewed_at is not None and now >= self._renewed_at:
            return True
        try:
            return CertificateFolder(self.certificates).server.read_bytes() != self._used
        except OSError:
            return False

    def warnings(self, *, now: datetime) -> Iterator[str]:
        """Yield what a person should know of the certificates: those that end soon, and those that do not fit."""
        try:
            held = CertificateFolder(self.certificates).held()
        except CertificateError as error:
            yield str(error)
            return
        for each in held:
            if each.ends_within(RENEWED_BEFORE, now=now):
                yield f"{each.path} ends on {each.facts.ends_at:%Y-%m-%d}; see manage.py certificates --help"
            if each.is_foreign:
                yield f"{each.path} is not signed by the authority beside it; see manage.py certificates --help"

    def listeners(self, *, certificate: Path, key: Path) -> list[str]:
        """Return the lines of mosquitto's configuration; the two files must be readable for its user."""
        tls = [f"certfile {certificate}", f"keyfile {key}", "tls_version tlsv1.2", f"ciphers {CIPHERS}"]
        return [
            f"listener {self.port} {self.host}",
            *tls,
            f"listener {self.websocket_port} {self.host}",
            "protocol websockets",
            # Without it this listener takes any address of the machine, whatever the line above says.
            f"socket_domain {'ipv6' if ':' in self.host else 'ipv4'}",
            *tls,
        ]
