"""Logins that mosquitto refused, read from its own log: its plugin tells nobody of them.

mosquitto says where a connection comes from, then who came in by it, or that it ended before anybody did; 2.0 does not
say of the latter where it was. It answers as soon as a login is there, so such an end is given to the newest connection
by which nobody came in yet: right unless two come within a round trip, and then mostly right for who guesses more.
"""

import re
from collections import OrderedDict
from typing import Final

from fleet.mqtt.address import BrokerAddress
from sensors.broker.refusals import RefusalLog

# Its notices; `log_dest topic` publishes them. Nobody but the bridge may read them.
LOG_TOPIC: Final = "$SYS/broker/log/N"

# 2.0: `1795304811: New connection from 127.0.0.1:50074 on port 1883.`, `… New client connected from 127.0.0.1:50064 as
# x (p2, …`, `… Client <unknown> disconnected, not authorised.`, `… Client <unknown> closed its connection.`; 2.1 adds
# the address to the latter two.
_OPENED: Final = re.compile(r"New connection from (\S+):(\d+) on port (\d+)\.?$")
_CAME_IN: Final = re.compile(r"New client connected from (\S+):(\d+) as ")
_REFUSED: Final = re.compile(r"Client (.*?)(?: \[(\S+):(\d+)\])? disconnected[,:] not authori[sz]ed\.?$")
_ENDED: Final = re.compile(r"Client <unknown>(?: \[(\S+):(\d+)\])? (?:closed|disconnected|has exceeded)")
_UNKNOWN: Final = "<unknown>"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})

# Connections remembered that nobody came in by; a flood of them forgets the oldest, and so does time: mosquitto does
# not wait longer for a CONNECT.
_MOST_OPEN: Final = 1_000
_OPEN_S: Final = 60.0

Peer = tuple[str, str]  # address and port


class LoginWatch:
    """Counts and tells what was refused; a line costs the same however many connections are open."""

    def __init__(self, address: BrokerAddress) -> None:
        """Take the bridge's own way to the broker.

        Where that is another machine (or container), a refused login from the broker's own loopback at the bridge's
        own port is its health check (docker/compose.yml), which has no login, and means nothing.
        """
        is_near = address.host in _LOOPBACK or address.host == "localhost"
        self._check_port = None if is_near else str(address.port)
        # When they were opened, oldest first.
        self._open: OrderedDict[Peer, float] = OrderedDict()
        self._checks: OrderedDict[Peer, float] = OrderedDict()
        self._refusals = RefusalLog()

    @property
    def total(self) -> int:
        """How many logins were refused since the start."""
        return self._refusals.total

    def take(self, payload: bytes, *, now_s: float) -> None:
        """Read one line of the broker's log; now_s: monotonic."""
        line = payload.decode(errors="replace")
        if found := _OPENED.search(line):
            is_check = found[1] in _LOOPBACK and found[3] == self._check_port
            _remember(self._checks if is_check else self._open, (found[1], found[2]), now_s=now_s)
        elif found := _CAME_IN.search(line):
            self._open.pop((found[1], found[2]), None)
        elif found := _REFUSED.search(line):
            if self._take_check((found[2], found[3])):
                return
            client_id = "" if found[1] == _UNKNOWN else found[1]
            self._refusals.note(now_s=now_s, address=self._take_open((found[2], found[3])), client_id=client_id)
        elif found := _ENDED.search(line):
            # A probe, or somebody who thought better of it.
            self._take_open((found[1], found[2]))

    def tell(self, *, now_s: float) -> None:
        """Log what is due."""
        self._refusals.tell(now_s=now_s)

    def _take_check(self, named: tuple[str | None, str | None]) -> bool:
        """Return whether it was the broker's health check that ended; named: its peer, where the broker says it."""
        if named[0] is None:
            return bool(self._checks and self._checks.popitem())
        return self._checks.pop((named[0], named[1] or ""), None) is not None

    def _take_open(self, named: tuple[str | None, str | None]) -> str:
        """Return the address of the connection that ended, "" if nobody knows."""
        if named[0] is not None:
            self._open.pop((named[0], named[1] or ""), None)
            return named[0]
        return self._open.popitem()[0][0] if self._open else ""


def _remember(connections: OrderedDict[Peer, float], peer: Peer, *, now_s: float) -> None:
    connections[peer] = now_s
    while len(connections) > _MOST_OPEN or next(iter(connections.values())) < now_s - _OPEN_S:
        connections.popitem(last=False)
