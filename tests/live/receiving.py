"""Hearing in Redis what senders publish."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import redis.asyncio
from django.conf import settings


def channel_at(redis_url: str, network: str) -> str:
    """Return what processes with this REDIS_URL call the network's channel.

    Not `live.channel_of`, which goes by this process' REDIS_URL: workers of pytest-xdist have a database each, and a
    Redis of a test's own is used with database 0.
    """
    database = urlsplit(redis_url).path.removeprefix("/")
    return f"fleet.live.{database}.{network}"


class Receiver:
    """Hears a network's channel in Redis."""

    def __init__(self, network: str, redis_url: str | None = None) -> None:
        redis_url = redis_url or settings.REDIS_URL
        self.channel = channel_at(redis_url, network)
        self.pubsub = redis.asyncio.from_url(redis_url).pubsub()

    async def join(self) -> "Receiver":
        await self.pubsub.subscribe(self.channel)
        assert (await self._reply(10))["type"] == "subscribe"
        return self

    async def leave(self) -> None:
        await self.pubsub.unsubscribe(self.channel)
        assert (await self._reply(10))["type"] == "unsubscribe"

    async def next(self, timeout_s: float = 10.0) -> dict[str, Any]:
        reply = await self._reply(timeout_s)
        assert reply["type"] == "message"
        return msgspec.msgpack.decode(reply["data"])

    async def until(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 10.0) -> list[dict[str, Any]]:
        messages = []
        async with asyncio.timeout(timeout_s):
            while not messages or not wanted(messages[-1]):
                messages.append(await self.next(timeout_s))
        return messages

    async def _reply(self, timeout_s: float) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            while True:
                if reply := await self.pubsub.get_message(timeout=timeout_s):
                    return reply


def frames(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(text) for message in messages for *_, text in message["frames"]]


def items(messages: list[dict[str, Any]]) -> list[Any]:
    return [item["value"]["i"] for frame in frames(messages) for item in frame["items"]]


def dropped(messages: list[dict[str, Any]]) -> int:
    return sum(sum(message["dropped"].values()) for message in messages)
