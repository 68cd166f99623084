import asyncio
import socket
import threading

import pytest

from fleet.mqtt.device import MAX_WAITING, Credentials
from fleet.mqtt.device_group import DeviceGroup

from .wire import Client, OwnBroker, until


async def test_it_subscribes_its_configuration_and_publishes_with_acknowledgement(broker, client):
    client.configure("d-1", 0, {"a": 1})
    taken: list[bytes] = []
    async with DeviceGroup(host="127.0.0.1", port=broker.port) as group:
        device = group.add("d-1", on_configuration=taken.append)
        await asyncio.wait_for(device.publish("measurements/d-1", b"one"), 10)
        await until(lambda: taken)
        client.configure("d-1", 1, {})
        await until(lambda: len(taken) == 2)
    assert taken == [b'{"revision": 0, "configuration": {"a": 1}}', b'{"revision": 1, "configuration": {}}']
    await until(lambda: ("measurements/d-1", b"one") in client.received)
    assert (device.counts.sent, device.counts.acknowledged, device.counts.dropped) == (1, 1, 0)


async def test_a_callback_that_raises_does_not_stop_the_device(broker, client, caplog):
    taken: list[bytes] = []

    def take(payload: bytes) -> None:
        taken.append(payload)
        raise RuntimeError("a bug")

    async with DeviceGroup(host="127.0.0.1", port=broker.port) as group:
        device = group.add("d-1", on_configuration=take)
        client.configure("d-1", 0, {})
        await until(lambda: len(taken) == 1)
        client.configure("d-1", 1, {})
        await until(lambda: len(taken) == 2)
        await asyncio.wait_for(device.publish("measurements/d-1", b"on"), 10)
    assert "on_configuration failed" in caplog.text


async def test_what_was_published_while_the_broker_was_away_arrives_in_order(broker, client):
    broker.stop()
    async with DeviceGroup(host="127.0.0.1", port=broker.port) as group:
        device = group.add("d-1")
        sent = [f"{number}".encode() for number in range(300)]
        futures = [device.publish("measurements/d-1", payload) for payload in sent]
        await until(lambda: device.trouble)
        assert device.outstanding() == 300
        broker.start()
        await until(lambda: client.subscriptions >= 2)
        await asyncio.wait_for(asyncio.gather(*futures), 30)
        assert device.outstanding() == 0
    await until(lambda: len(client.received) >= 300)
    assert [payload for _, payload in client.received] == sent


async def test_a_device_whose_broker_stays_away_keeps_the_newest_and_counts_the_rest():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with DeviceGroup(host="127.0.0.1", port=nobody.getsockname()[1]) as group:
            device = group.add("d-1")
            futures = [device.publish("measurements/d-1", b"x") for _ in range(MAX_WAITING + 5)]
            assert [future.cancelled() for future in futures] == [True] * 5 + [False] * MAX_WAITING
            assert not await group.drained(timeout_s=0.1)
    assert device.counts.dropped == MAX_WAITING + 5
    assert all(future.cancelled() for future in futures)


async def test_a_cut_connection_comes_back_and_loses_nothing(broker, client):
    async with DeviceGroup(host="127.0.0.1", port=broker.port) as group:
        device = group.add("d-1")
        futures = []
        for number in range(5):
            await until(lambda: device.connected)
            futures += [device.publish("measurements/d-1", f"{number}-{part}".encode()) for part in range(20)]
            device.cut()
            await until(lambda: not device.connected)
        await asyncio.wait_for(asyncio.gather(*futures), 30)
        assert device.counts.connections >= 5
    # At least once: what was cut off between a message and its acknowledgement comes again.
    await until(lambda: len({payload for _, payload in client.received}) == 100)


async def test_large_messages_both_ways_arrive_whole(broker, client):
    taken: list[bytes] = []
    large = bytes(range(256)) * 3_000
    async with DeviceGroup(host="127.0.0.1", port=broker.port) as group:
        device = group.add("d-1", on_configuration=taken.append)
        await until(lambda: device.connected)
        client.publish("configurations/d-1", large)
        await asyncio.wait_for(device.publish("measurements/d-1", large), 10)
        await until(lambda: taken)
    assert taken == [large]
    await until(lambda: ("measurements/d-1", large) in client.received)


@pytest.mark.parametrize("topic", ["", "a/+", "a/#"])
async def test_a_topic_that_cannot_be_published_to_is_refused(topic):
    async with DeviceGroup(host="127.0.0.1", port=1) as group:
        with pytest.raises(ValueError, match="cannot be published to"):
            group.add("d-1").publish(topic, b"")


async def test_a_refused_login_is_told_and_tried_again(tmp_path):
    broker = OwnBroker(tmp_path, passwords={"d-1": "right", "listener": "too"})
    broker.start()
    try:
        client = Client(broker.port, login=("listener", "too"))
        async with DeviceGroup(host="127.0.0.1", port=broker.port) as group:
            right = group.add("d-1", credentials=Credentials("d-1", "right"))
            wrong = group.add("d-2", credentials=Credentials("d-1", "wrong"))
            nobody = group.add("d-3")
            await asyncio.wait_for(right.publish("measurements/d-1", b"in"), 10)
            await until(lambda: wrong.counts.refusals > 1 and nobody.counts.refusals > 1)
            assert "refused the connection: Not authorized" in wrong.trouble
            assert not wrong.connected
        client.close()
    finally:
        broker.stop()
    assert "right" not in repr(Credentials("d-1", "right"))


async def test_two_hundred_devices_need_no_thread_each(broker, client):
    threads = threading.active_count()
    async with DeviceGroup(host="127.0.0.1", port=broker.port) as group:
        devices = [group.add(f"d-{number}") for number in range(200)]
        await asyncio.wait_for(asyncio.gather(*(d.publish(f"heartbeats/{d.identifier}", b"") for d in devices)), 30)
        assert threading.active_count() - threads <= 8
        assert all(device.connected for device in devices)
    await until(lambda: len(client.received) == 200)
