"""Logins that mosquitto refused, read from its own log: its plugin tells nobody of them.

mosquitto says where a connection comes from, then who came in by it, or that somebody did not; 2.0 does not say of the
latter where it was. So a refusal is given to the address that has the most connections by which nobody came in: right
unless two guess at once, and then right for the one who guesses more.
"""

import re
from collections import Counter, OrderedDict
from typing import Final

from fleet.mqtt.address import BrokerAddress
from sensors.broker.refusals import RefusalLog

# Its notices; `log_dest topic` publishes them. Nobody but the bridge may read them.
LOG_TOPIC: Final = "$SYS/broker/log/N"

# 2.0: `1795304811: New connection from 127.0.0.1:50074 on port 1883.`, `… New client connected from 127.0.0.1:50064 as
# x (p2, …`, `… Client <unknown> disconnected, not authorised.`; 2.1 adds the address to the last.
_OPENED: Final = re.compile(r"New connection from (\S+):(\d+) on port (\d+)\.?$")
_CAME_IN: Final = re.compile(r"New client connected from (\S+):(\d+) as ")
_REFUSED: Final = re.compile(r"Client (.*?)(?: \[(\S+):(\d+)\])? disconnected[,:] not authori[sz]ed\.?$")
_UNKNOWN: Final = "<unknown>"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})

# Connections remembered that nobody came in by; a flood of them forgets the oldest, and so does time: mosquitto does
# not wait longer for a CONNECT.
_MOST_OPEN: Final = 1_000
_OPEN_S: Final = 60.0


class LoginWatch:
    """Counts and tells what was refused."""

    def __init__(self, address: BrokerAddress) -> None:
        """Take the bridge's own way to the broker.

        Where that is another machine (or container), a refused login from the broker's own loopback at the bridge's
        own port is its health check (docker/compose.yml), which has no login, and means nothing.
        """
        is_near = address.host in _LOOPBACK or address.host == "localhost"
        self._check_port = None if is_near else str(address.port)
        # (address, port) to the broker's port and when it was opened, oldest first.
        self._open: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self._refusals = RefusalLog()

    @property
    def total(self) -> int:
        """How many logins were refused since the start."""
        return self._refusals.total

    def take(self, payload: bytes, *, now_s: float) -> None:
        """Read one line of the broker's log; now_s: monotonic."""
        line = payload.decode(errors="replace")
        if found := _OPENED.search(line):
            self._open[found[1], found[2]] = (found[3], now_s)
            self._forget(now_s)
        elif found := _CAME_IN.search(line):
            self._open.pop((found[1], found[2]), None)
        elif found := _REFUSED.search(line):
            address = self._address_of((found[2], found[3]))
            if address is not None:
                client_id = "" if found[1] == _UNKNOWN else found[1]
                self._refusals.note(now_s=now_s, address=address, client_id=client_id)

    def tell(self, *, now_s: float) -> None:
        """Log what is due."""
        self._refusals.tell(now_s=now_s)

    def _forget(self, now_s: float) -> None:
        while len(self._open) > _MOST_OPEN or next(iter(self._open.values()))[1] < now_s - _OPEN_S:
            self._open.popitem(last=False)

    def _address_of(self, named: tuple[str | None, str | None]) -> str | None:
        """Return whose login was refused, "" if nobody knows; None for the broker's health check."""
        peer = next((each for each in self._open if each == named), None)
        if peer is None:
            peer = next((each for each, (port, _) in self._open.items() if self._is_check(each, port)), None)
        if peer is None:
            by_address = Counter(address for address, _ in self._open)
            [(likely, _)] = by_address.most_common(1) or [("", 0)]
            peer = next((each for each in self._open if each[0] == likely), None)
        if peer is None:
            return named[0] or ""
        port, _ = self._open.pop(peer)
        return None if self._is_check(peer, port) else peer[0]

    def _is_check(self, peer: tuple[str, str], port: str) -> bool:
        return peer[0] in _LOOPBACK and port == self._check_port
