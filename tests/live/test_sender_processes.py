"""`sensors.live` in a process of its own that ends, and with a Redis that hangs, dies or is away."""

import asyncio
import signal

import psutil
import pytest
from django.conf import settings

from tests.live.receiving import Receiver, items
from tests.live.sending import measurement, status


@pytest.mark.parametrize("code", [0, 3])
async def test_a_process_that_ends_right_after_an_event_has_sent_it(network, start_sender, code):
    receiver = await Receiver(network).join()
    sender = start_sender(settings.REDIS_URL)
    await asyncio.to_thread(sender.send, status(network))
    assert await asyncio.to_thread(sender.end, code) == code
    # And the closing message, without waiting for its time.
    messages = [await receiver.next(1), await receiver.next(1)]
    assert [message["events"] for message in messages] == [1, 0]


@pytest.mark.fault
async def test_a_hung_redis_holds_up_nobody_and_is_told_of_when_it_is_back(network, own_valkey, start_sender):
    receiver = await Receiver(network, own_valkey.url).join()
    sender = start_sender(own_valkey.url)
    await asyncio.to_thread(sender.send, measurement(network, 0))
    await receiver.next()
    own_valkey.process.send(signal.SIGSTOP)
    try:
        took_s = 0.0
        for _ in range(4):
            took_s += await asyncio.to_thread(sender.send, *[measurement(network, i) for i in range(1000)])
            await asyncio.sleep(1)
    finally:
        own_valkey.process.send(signal.SIGCONT)
    # 4,000 calls.
    assert took_s < 1
    # What counts is that all 4,001 are accounted for: seen, named as dropped, or a hole in the numbers.
    messages = await receiver.until(lambda message: message["upto"] == 4001, 15)
    assert messages[-1]["sender"] == messages[0]["sender"]
    await asyncio.to_thread(sender.send, measurement(network, 7))
    assert items(await receiver.until(lambda message: message["upto"] == 4002))[-1] == 7


@pytest.mark.fault
async def test_a_process_ends_while_redis_hangs(network, own_valkey, start_sender):
    sender = start_sender(own_valkey.url)
    await asyncio.to_thread(sender.send, status(network))
    await asyncio.sleep(0.5)
    own_valkey.process.send(signal.SIGSTOP)
    try:
        assert await asyncio.to_thread(sender.send, status(network)) < 0.1
        assert await asyncio.to_thread(sender.end) == 0
    finally:
        own_valkey.process.send(signal.SIGCONT)


@pytest.mark.fault
async def test_a_restarted_redis_is_found_again_and_the_loss_is_told(network, own_valkey, start_sender):
    sender = start_sender(own_valkey.url)
    await asyncio.to_thread(sender.send, measurement(network, 0))
    await asyncio.to_thread(own_valkey.kill, signal.SIGKILL)
    for i in range(5):
        assert await asyncio.to_thread(sender.send, measurement(network, i)) < 0.1
        await asyncio.sleep(0.3)
    # A closing message is sent once, whoever hears it: the sender must not find Redis before the receiver has.
    sender.process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(own_valkey.start)
    receiver = await Receiver(network, own_valkey.url).join()
    sender.process.send_signal(signal.SIGCONT)
    # Nothing new is sent: the closing message comes by itself.
    message = await receiver.next(10)
    assert message["upto"] == 6


@pytest.mark.fault
async def test_memory_is_bounded_while_redis_is_away(network, own_valkey, start_sender):
    sender = start_sender(own_valkey.url)
    await asyncio.to_thread(own_valkey.kill, signal.SIGKILL)
    text = "x" * 10_000
    events = [
        {"network": f"{network}-{i % 7}", "sensor": f"s{i}", "kind": "measurements", "body": {"items": [{"t": text}]}}
        for i in range(500)
    ]
    process = psutil.Process(sender.process.pid)
    await asyncio.to_thread(sender.send, *events)
    before = process.memory_info().rss
    for _ in range(100):
        await asyncio.to_thread(sender.send, *events)
    # 500 MB were offered; what is being sent is there twice, as items and as messages.
    assert process.memory_info().rss - before < 100_000_000
