"""How many wrong passwords sensors' accounts take before nobody looks at another one for a while."""

import hashlib
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from sensors.addresses import origin
from sensors.limits.counters import counters
from sensors.limits.rates import Rate, parse_rate

# Wrong ones for one name from anywhere, and from one address for any names: a hall of sensors shares an address.
_WIDE: Final = 10
# An address from which a sensor has logged in is remembered for so long.
_KNOWN_S: Final = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class GuessThrottle:
    """Counts wrong passwords by (name, address), by name, and by address, in windows; BROKER_LOGIN_THROTTLE sets it.

    Right ones are never counted, and who came in from an address with that name before is judged by that pair alone:
    whoever guesses from elsewhere locks no sensor out of where it is. Every limit ends with its window. address: "" if
    the broker does not tell it; then the name's own limit is the only one. Redis away: nothing is limited.
    """

    username: str
    address: str
    now_s: float

    def is_exhausted(self) -> bool:
        """Return whether the password must not even be looked at."""
        limit = self._rate.most
        wide = limit * _WIDE
        limits = [(self._key(f"name:{self._name}"), wide)]
        if self.address:
            limits = [(self._pair_key(), limit), *limits, (self._key(f"address:{self._origin}"), wide)]
        read = counters().read([*(key for key, _ in limits), self._known_key()])
        if read is None:
            return False
        *counts, is_known = read
        if self.address and is_known:
            return counts[0] >= limit
        return any(count >= most for count, (_, most) in zip(counts, limits, strict=True))

    def refused(self) -> None:
        """Count a wrong password."""
        keys = [self._key(f"name:{self._name}")]
        if self.address:
            keys += [self._pair_key(), self._key(f"address:{self._origin}")]
        for key in keys:
            counters().count(key, window_s=self._rate.window_s)

    def admitted(self) -> None:
        """Remember where the sensor logs in from."""
        if self.address:
            counters().count(self._known_key(), window_s=_KNOWN_S)

    @property
    def _name(self) -> str:
        # It may be anything, of any length.
        return hashlib.sha256(self.username.encode(errors="replace")).hexdigest()[:32]

    @property
    def _origin(self) -> str:
        return origin(self.address)

    @property
    def _rate(self) -> Rate:
        return parse_rate(settings.BROKER_LOGIN_THROTTLE)

    def _pair_key(self) -> str:
        return self._key(f"{self._origin}:{self._name}")

    def _key(self, what: str) -> str:
        return self._rate.key(f"broker:{what}", now_s=self.now_s)

    def _known_key(self) -> str:
        return f"fleet:broker:known:{self._origin}:{self._name}"
