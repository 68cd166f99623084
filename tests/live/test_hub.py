"""`fleet.live.hub` against a real Valkey: what sockets are too slow to bring about."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

import pytest

from fleet.live.burst import Burst
from fleet.live.hub import JOIN_TIMEOUT_S, Hub
from sensors import live


class Listener:
    """A subscriber that notes what it is told."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.missed: list[dict[str, int] | None] = []

    def hear(self, network: str, everything: Burst, by_sensor: Mapping[str, Burst]) -> None:
        self.heard.put_nowait(network)

    def miss(self, network: str, dropped: dict[str, int] | None) -> None:
        self.missed.append(dropped)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    yield hub
    assert hub._task is not None
    hub._task.cancel()
    await asyncio.wait([hub._task])


async def hears_soon(hub: Hub, network: str) -> None:
    """Join, which must not last until it is given up, and hear an event without a gap."""
    listener = Listener()
    started = time.monotonic()
    await hub.join({network}, listener)
    assert time.monotonic() - started < JOIN_TIMEOUT_S / 2
    live.send_status(network, "s", status="up", last_seen_at=None)
    async with asyncio.timeout(10):
        assert await listener.heard.get() == network
    assert listener.missed == []


async def test_who_joins_at_the_moment_in_which_the_last_one_leaves_is_confirmed_at_once(hub, network):
    first = Listener()
    await hub.join({network}, first)
    hub.leave({network}, first)
    await hears_soon(hub, network)
    # And so is who comes later, while others are there.
    await hears_soon(hub, network)


async def test_who_joins_after_the_last_one_has_left_hears_too(hub, network):
    first = Listener()
    await hub.join({network}, first)
    hub.leave({network}, first)
    # Long enough for the hub to ask Redis.
    await hub.join({f"{network}-other"}, first)
    await hears_soon(hub, network)
