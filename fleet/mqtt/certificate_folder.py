"""The folder in which certificates are kept, and what is done about each of them.

    ca.crt                         the authority's certificate: what a sensor must know to trust the broker
    server.crt, server.key         the broker's
    authority/ca.crt, ca.key       the authority itself; its key is needed only where something is made, so the folder
                                   may be a volume of its own, or kept on another machine in between
    authority/clients/ID.crt, .key  for a sensor to show who it is

Private keys have mode 0600. Those of the authority and of clients belong to who made them; the broker's, when root
made it, to the owner of the folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from fleet.mqtt.broker_files import locked, replace_file
from fleet.mqtt.certificates import (
    DAYS,
    CertificateError,
    Facts,
    Pair,
    belong_together,
    canonical_name,
    check_identifier,
    is_issued_by,
    make_authority,
    make_client,
    make_server,
    read_certificate,
)

# From then on a certificate is made anew, or a person is told: several looks, even where somebody looks once a week.
RENEWED_BEFORE: Final = timedelta(days=30)

AUTHORITY_NAME: Final = "ca.crt"
SERVER_NAME: Final = "server.crt"
_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Held:
    """One certificate in the folder. kind: authority, server or client; key: where its private key belongs.

    is_foreign: whether another authority than the folder's has signed it.
    """

    kind: str
    path: Path
    key: Path
    facts: Facts
    is_foreign: bool

    def ends_within(self, time: timedelta, *, now: datetime) -> bool:
        """Return whether it has ended or will within `time`."""
        return self.facts.ends_at - now <= time


class CertificateFolder:
    """The certificates in the folder `root`. Whoever changes it holds a lock; others wait."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authority = root / AUTHORITY_NAME
        self.server = root / SERVER_NAME
        self._home = root / "authority"
        self._clients = self._home / "clients"

    def held(self) -> list[Held]:
        """Return what is there: authority, server, clients by name. Raises CertificateError for a damaged file."""
        authority = self._authority_certificate()
        found = [("authority", self.authority if self.authority.exists() else self._home / AUTHORITY_NAME)]
        found += [("server", self.server)]
        found += [("client", path) for path in sorted(self._clients.glob("*.crt"))]
        held = []
        for kind, path in found:
            if not path.exists():
                continue
            key = self._home / "ca.key" if kind == "authority" else path.with_suffix(".key")
            facts = _facts(path)
            is_foreign = authority is not None and not is_issued_by(path.read_bytes(), authority)
            held.append(Held(kind, path, key, facts, is_foreign))
        return held

    def server_pair(self) -> Pair:
        """Return the broker's certificate and key."""
        return Pair(self.server.read_bytes(), self.server.with_suffix(".key").read_bytes())

    def write(
        self,
        *,
        names: Sequence[str],
        clients: Sequence[str] = (),
        now: datetime,
        days: int = DAYS,
        renew: bool = False,
        replace_authority: bool = False,
    ) -> list[Path]:
        """Make what is missing or ends within 30 days; return the certificates that were made.

        names: host names and addresses that the broker's certificate must be for; those of the one before stay in
        it. clients: sensors that shall have one. days: for which the new ones are valid.
        renew: make the named clients' anew, or the broker's if there are none.
        replace_authority: a new one; whatever the old one has signed is worth nothing from then on.

        The authority is never replaced without being asked for, and the broker's certificate never if it is
        somebody else's, unless `renew`. Raises CertificateError, then nothing that was there has changed.
        """
        names = [canonical_name(name) for name in names]
        for identifier in clients:
            check_identifier(identifier)
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        with locked(self.root):
            made: list[Path] = []
            kept = self._server_names()
            authority = None if replace_authority else self._read_authority(now)
            if authority is None and (replace_authority or self._is_new()):
                authority = self._keep(make_authority(now=now))
            if authority is not None and self._put_authority(authority):
                made.append(self.authority)
            is_wanted = replace_authority or (renew and not clients)
            if is_wanted or self._is_due(self.server, authority, now=now) or self._lacks_name(names, authority):
                pair = make_server(self._needed(authority), [*kept, *names], now=now, days=days)
                _put(self.server, pair, owned_by_folder=True)
                made.append(self.server)
            for identifier in dict.fromkeys(clients):
                path = self._clients / f"{identifier}.crt"
                if renew or self._is_due(path, authority, now=now):
                    pair = make_client(self._needed(authority), identifier, now=now, days=days)
                    self._clients.mkdir(mode=0o700, exist_ok=True)
                    _put(path, pair, owned_by_folder=False)
                    made.append(path)
        return made

    # --- The authority ---------------------------------------------------------------------------

    def _is_new(self) -> bool:
        """Return whether there is nothing yet of which somebody may rely on the authority."""
        return not any(path.exists() for path in (self.authority, self._home / AUTHORITY_NAME, self.server))

    def _authority_certificate(self) -> bytes | None:
        for path in (self._home / AUTHORITY_NAME, self.authority):
            if path.exists():
                return path.read_bytes()
        return None

    def _read_authority(self, now: datetime) -> Pair | None:
        """Return the authority, None if its key is kept elsewhere."""
        path = self._home / "ca.key"
        if not path.exists():
            return None
        key, certificate = path.read_bytes(), self._authority_certificate()
        if certificate is None:
            # Lost, or of a first run that was killed. One for the same key is as good to all that it signed.
            return self._keep(make_authority(now=now, key=key))
        authority = Pair(certificate, key)
        if not _fit(authority, path):
            raise CertificateError(
                f"{path} is not the key of ca.crt; put the right one back, or make a new one with --replace-ca"
            )
        return authority

    def _keep(self, authority: Pair) -> Pair:
        self._home.mkdir(mode=0o700, exist_ok=True)
        _put(self._home / AUTHORITY_NAME, authority, owned_by_folder=False)
        return authority

    def _put_authority(self, authority: Pair) -> bool:
        """Let the certificate stand where sensors' owners look for it; a bundle that has it stays as it is."""
        if self.authority.exists() and authority.certificate.strip() in self.authority.read_bytes():
            return False
        return replace_file(self.authority, authority.certificate, mode=_PUBLIC)

    def _needed(self, authority: Pair | None) -> Pair:
        if authority is None:
            raise CertificateError(
                f"{self._home / 'ca.key'} is not there, and without it nothing can be signed; put it back from where "
                "you keep it, or make a new one with --replace-ca"
            )
        return authority

    # --- What is due -----------------------------------------------------------------------------

    def _is_due(self, path: Path, authority: Pair | None, *, now: datetime) -> bool:
        """Return whether the certificate at `path` has to be made."""
        key = path.with_suffix(".key")
        if not path.exists() or not key.exists():
            return True
        if authority is None:
            return False
        certificate = path.read_bytes()
        if not is_issued_by(certificate, authority.certificate):
            # A client's is of an authority that was replaced. The broker's may be one that somebody got elsewhere.
            return path != self.server
        if not _fit(Pair(certificate, key.read_bytes()), path):
            # What a run left that was killed between the two files.
            return True
        ends_at = read_certificate(certificate).ends_at
        # No certificate outlives its authority: there may be no later end to be had.
        return ends_at - now <= RENEWED_BEFORE and ends_at < read_certificate(authority.certificate).ends_at

    def _lacks_name(self, names: Sequence[str], authority: Pair | None) -> bool:
        """Return whether the broker's certificate, one from here, is not for all of `names`."""
        is_ours = authority is not None and is_issued_by(self.server.read_bytes(), authority.certificate)
        return is_ours and not set(names) <= set(self._server_names())

    def _server_names(self) -> tuple[str, ...]:
        return _facts(self.server).names if self.server.exists() else ()


def _put(path: Path, pair: Pair, *, owned_by_folder: bool) -> None:
    # The key first: what a run leaves that is killed in between is a pair that does not fit, which is seen.
    replace_file(path.with_suffix(".key"), pair.key, owned_by_folder=owned_by_folder)
    replace_file(path, pair.certificate, mode=_PUBLIC, owned_by_folder=owned_by_folder)


def _facts(path: Path) -> Facts:
    try:
        return read_certificate(path.read_bytes())
    except CertificateError as error:
        raise CertificateError(f"{path}: {error}") from error


def _fit(pair: Pair, where: Path) -> bool:
    try:
        return belong_together(pair)
    except CertificateError as error:
        raise CertificateError(f"{where}: {error}") from error
