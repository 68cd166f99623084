"""The whole local stack under load: whatever part dies is back by itself, and nothing acknowledged is missing."""

import signal

import pytest

from fleet.stack.places import DataDir
from tests.faults.conftest import Load, insert_sensors, stored_numbers
from tests.stack.running import PROCESSES, Up, still_alive
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]


def test_every_part_dies_once_and_no_acknowledged_message_is_missing(own_place: DataDir) -> None:
    stack = Up(own_place.root, "--simulate", "20")
    try:
        stack.wait_ready()
        database_url = stack.addresses()["DATABASE_URL"]
        insert_sensors(database_url)
        load = Load(stack.mqtt_port, rate=100).start()
        for name in PROCESSES:
            load.run_for(200)
            process = stack.find(name)
            # A broker that is killed outright loses what it had not written: tests of its own say what that means.
            process.send_signal(signal.SIGTERM if name == "mosquitto" else signal.SIGKILL)
            wait_until(lambda: not still_alive([process]), 30, f"the end of {name}")  # noqa: B023 - used at once
            wait_until(lambda: stack.find(name), 60, f"another {name}")  # noqa: B023 - used at once
            stack.wait_fit(timeout_s=90)
        load.run_for(200)
        load.end()
        wait_until(lambda: load.outstanding() == 0, 60, "the broker's acknowledgements")
        acknowledged = sorted(load.acknowledged())
        wait_until(lambda: len(stored_numbers(database_url)) >= len(acknowledged), 60, "everything to be stored")
        assert stored_numbers(database_url) == acknowledged
        assert len(acknowledged) == load.count
        load.close()
        assert stack.end(signal.SIGTERM) == 0
    finally:
        stack.end(signal.SIGKILL)
