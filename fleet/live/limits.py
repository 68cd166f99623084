"""How many sockets one process serves: of one user, and of callers that nobody has looked at yet."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

# Handshakes that wait for the database: a query takes a millisecond, so as many wait only while it does not answer.
MAX_HANDSHAKES: Final = 200


class Places:
    """Places that are taken, by whom. For one event loop, so nothing is locked."""

    def __init__(self) -> None:
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def place(self, who: Hashable, *, at_most: int) -> Iterator[bool]:
        """Hold one of the places of `who` in the block; False, and none, when all are taken."""
        if self._taken[who] >= at_most:
            yield False
            return
        self._taken[who] += 1
        try:
            yield True
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]
