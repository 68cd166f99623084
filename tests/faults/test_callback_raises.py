"""An exception inside the receiving callback: the connection's thread lives, and the message is not forgotten."""

import threading
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from paho.mqtt import client as paho

from tests.bridges import Client
from tests.faults.clumsy_bridge import WORD
from tests.faults.load import Devices
from tests.faults.stack import MakeLoad, Stack, assert_nothing_is_lost
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

CLUMSY = ("tests/faults/clumsy_bridge.py",)


def test_a_message_whose_callback_raised_is_counted_and_stored_by_the_same_process(
    stack: Stack, make_load: MakeLoad, devices: Devices
) -> None:
    """It was delivered and lies nowhere: only a new connection makes the broker deliver it again."""
    stack.bridge = stack.make_bridge(program=CLUMSY)
    stack.start_bridge()
    process = stack.bridge.process
    assert process is not None
    load = make_load(rate=300)
    load.run_for(200)
    client = Client(f"mqtt://127.0.0.1:{stack.broker.port}")
    entry = {"revision": 0, "timestamp": time.time(), "value": {"word": WORD.decode()}}
    client.publish("measurements/s-3", {"measurements": [entry]})
    client.close()
    load.run_for(300)

    wait_until(
        lambda: stack.run("SELECT count(*) FROM telemetry_measurement WHERE value ? 'word'") == [(1,)],
        30,
        "the message that raised to be stored",
    )
    wait_until(lambda: stack.tick()["callback_failures"] == 1, 30, "the failure to be counted")
    assert_nothing_is_lost(stack, load)
    assert process.poll() is None, stack.bridge.text()
    # It goes on receiving and publishing.
    stack.revise()
    wait_until(lambda: len(devices.answers) >= 20, 30, "the configurations")


def test_the_mark_does_not_pass_a_message_whose_callback_raised(stack: Stack) -> None:
    """Silence is judged up to the mark, which says that everything before it is stored."""
    stack.bridge = stack.make_bridge(program=CLUMSY)
    stack.start_bridge()
    entry = {"revision": 0, "timestamp": time.time(), "value": {"word": WORD.decode()}}
    client = Client(f"mqtt://127.0.0.1:{stack.broker.port}")
    # The mark is read after the message, in one statement: it may only have passed what is stored.
    client.publish("measurements/s-3", {"measurements": [entry]})
    client.close()
    published_at = time.time()

    def passed() -> tuple[bool, int] | None:
        rows = stack.run(
            "SELECT extract(epoch FROM drained_until)::float8,"
            " (SELECT count(*) FROM telemetry_measurement WHERE value ? 'word') FROM sensors_watermark"
        )
        return next(((True, stored) for mark, stored in rows if mark > published_at), None)

    assert wait_until(passed, 30, "the mark to pass the moment") == (True, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_client_whose_callback_raises_hears_nothing_more(stack: Stack) -> None:
    """The control: with the client library as it comes, the thread ends and the client calls itself connected."""
    heard: list[bytes] = []
    subscribed, ended = threading.Event(), threading.Event()

    def on_message(_client: Any, _data: Any, packet: paho.MQTTMessage) -> None:
        heard.append(packet.payload)
        if packet.payload == WORD:
            ended.set()
            raise RuntimeError("thrown inside the callback by a test")

    parts = urlsplit(stack.broker.url)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="control", clean_session=False, manual_ack=True)
    client.username_pw_set(parts.username, parts.password)
    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(parts.hostname or "", parts.port or 1883)
    client.subscribe("measurements/#", qos=1)
    client.loop_start()
    thread = client._thread
    assert thread is not None
    assert subscribed.wait(10)
    sender = Client(f"mqtt://127.0.0.1:{stack.broker.port}")
    sender.publish("measurements/s-1", WORD)
    assert ended.wait(10)
    thread.join(10)
    sender.publish("measurements/s-1", b"after")
    sender.close()

    assert client.is_connected()
    assert heard == [WORD]
