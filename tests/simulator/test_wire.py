"""What simulated sensors send, as the service reads it."""

import pytest

from fleet.simulator.faults import GARBAGE
from fleet.simulator.sensor import SimulatedSensor
from sensors.wire import PayloadError, Reason
from telemetry.payloads import parse_heartbeats, parse_log_messages, parse_measurements

START_S = 1_700_000_000.0
PARSERS = {
    "heartbeats": parse_heartbeats,
    "log-messages": parse_log_messages,
    "measurements": parse_measurements,
}


def test_the_service_understands_all_of_a_day():
    sensor = SimulatedSensor("s-1", seed=1, interval_s=20, excursions_per_hour=10)
    messages = sensor.begin(now_s=START_S).messages
    messages += sensor.receive(b'{"revision": 0, "configuration": {}}', now_s=START_S).messages
    messages += sensor.receive(b'{"revision": 1, "configuration": {"interval_s": -1}}', now_s=START_S).messages
    while sensor.due_at_s < START_S + 86_400:
        messages += sensor.act(now_s=sensor.due_at_s).messages
    stored = dict.fromkeys(PARSERS, 0)
    for message in messages:
        family, _, identifier = message.topic.partition("/")
        parsed = PARSERS[family](message.payload, now_s=START_S + 86_400)
        assert identifier == "s-1"
        assert parsed.refused == []
        stored[family] += len(parsed.entries)
    assert stored["measurements"] == pytest.approx(4_320, abs=5)
    assert stored["heartbeats"] == pytest.approx(2_880, abs=5)
    assert stored["log-messages"] > 100


def test_garbage_is_refused_for_every_reason_and_its_good_neighbours_are_kept():
    reasons: set[Reason] = set()
    kept = 0
    for make in GARBAGE:
        message = make("s-1", START_S)
        family, _, identifier = message.topic.partition("/")
        if identifier != "s-1":
            reasons.add(Reason.UNKNOWN_TOPIC)
            continue
        try:
            parsed = PARSERS[family](message.payload, now_s=START_S)
        except PayloadError as error:
            reasons.add(error.code)
        else:
            assert len(parsed.refused) == 1
            assert len(parsed.entries) == 1
            kept += 1
            reasons.add(parsed.refused[0].reason)
    assert reasons == set(Reason) - {Reason.UNKNOWN_SENSOR, Reason.REFUSED_BY_DATABASE}
    assert kept == 9
