import itertools
import json

import pytest

from fleet.simulator.faults import FAULTS, GARBAGE, FaultError, assign_faults, parse_fault
from fleet.simulator.sensor import FIRST_CONFIGURATION_S, SimulatedSensor

START_S = 1_700_000_000.0


def make(**options) -> SimulatedSensor:
    sensor = SimulatedSensor("s-1", **({"seed": 1, "interval_s": 5.0, "excursions_per_hour": 0} | options))
    sensor.begun = sensor.begin(now_s=START_S).messages
    return sensor


def configuration(revision: int, values: object) -> bytes:
    return json.dumps({"revision": revision, "configuration": values}).encode()


def run(sensor: SimulatedSensor, *, from_s: float, to_s: float) -> list[tuple[str, dict]]:
    """Let the sensor act from one moment to another; return (family, entry) with moments since START_S."""
    sent = []
    while START_S + from_s <= sensor.due_at_s <= START_S + to_s:
        for message in sensor.act(now_s=sensor.due_at_s).messages:
            sent += entries(message)
    return sent


def entries(message) -> list[tuple[str, dict]]:
    family, _, sensor = message.topic.partition("/")
    assert sensor == "s-1"
    document = json.loads(message.payload)
    assert list(document) == [family.replace("-", "_")]
    return [(family, entry) for entry in document[family.replace("-", "_")]]


def moments(sent, family: str) -> list[float]:
    return [entry["timestamp"] - START_S for kind, entry in sent if kind == family]


def test_it_says_that_it_started_and_that_it_is_simulated():
    [(family, entry)] = entries(make().begun[0])
    assert (family, entry["severity"], entry["subject"]) == ("log-messages", "info", "Sensor started")
    assert "simulated" in entry["details"]


def test_it_measures_within_a_second_and_then_every_interval():
    measured = moments(run(make(), from_s=0, to_s=60), "measurements")
    assert measured[0] <= 1
    gaps = [round(later - earlier, 2) for earlier, later in itertools.pairwise(measured[1:])]
    assert gaps == [5.0] * len(gaps)
    assert len(measured) in (12, 13)


def test_without_a_configuration_its_heartbeats_acknowledge_nothing():
    sent = run(make(), from_s=0, to_s=60)
    beats = [entry for family, entry in sent if family == "heartbeats"]
    assert [(beat["revision"], beat["success"]) for beat in beats] == [(0, False), (0, False)]
    assert moments(sent, "heartbeats") == [FIRST_CONFIGURATION_S, FIRST_CONFIGURATION_S + 30]


def test_a_configuration_is_answered_at_once_and_changes_the_pace():
    sensor = make()
    run(sensor, from_s=0, to_s=20)
    answers = [
        entry
        for m in sensor.receive(configuration(2, {"interval_s": 1}), now_s=START_S + 20).messages
        for entry in entries(m)
    ]
    assert answers[0] == ("heartbeats", {"revision": 2, "timestamp": START_S + 20, "success": True})
    assert answers[1][1]["subject"] == "Configuration applied"
    sent = run(sensor, from_s=20, to_s=30)
    assert moments(sent, "measurements") == [pytest.approx(20 + number) for number in range(1, 11)]
    assert {entry["revision"] for family, entry in sent if family == "measurements"} == {2}


def test_a_refused_configuration_is_answered_with_false_and_the_old_one_goes_on():
    sensor = make()
    sensor.receive(configuration(0, {"interval_s": 2}), now_s=START_S)
    answers = [
        entry
        for message in sensor.receive(configuration(1, {"interval_s": -1}), now_s=START_S + 1).messages
        for entry in entries(message)
    ]
    assert answers[0] == ("heartbeats", {"revision": 1, "timestamp": START_S + 1, "success": False})
    assert answers[1][1]["severity"] == "warning"
    assert "interval_s is -1" in answers[1][1]["details"]
    sent = run(sensor, from_s=1, to_s=60)
    assert {entry["revision"] for _, entry in sent} == {0}
    assert all(entry["success"] for family, entry in sent if family == "heartbeats")
    assert (sensor.revision, sensor.settings.interval_s) == (0, 2)


def test_each_configuration_is_complete_in_itself():
    sensor = make()
    sensor.receive(configuration(0, {"interval_s": 2, "attributes": "current"}), now_s=START_S)
    sensor.receive(configuration(1, {}), now_s=START_S + 1)
    assert sensor.settings.interval_s == 5
    assert len(sensor.settings.attributes) == 5


def test_a_repeated_configuration_is_answered_again_without_news():
    sensor = make()
    sensor.receive(configuration(0, {}), now_s=START_S)
    again = sensor.receive(configuration(0, {}), now_s=START_S + 1).messages
    assert [message.topic for message in again] == ["heartbeats/s-1"]


def test_what_has_no_revision_is_answered_with_a_log_message_only():
    answers = make().receive(b"{", now_s=START_S).messages
    assert [(family, entry["subject"]) for m in answers for family, entry in entries(m)] == [
        ("log-messages", "Configuration not understood")
    ]


def test_a_withdrawn_configuration_takes_it_back_to_its_defaults():
    sensor = make()
    sensor.receive(configuration(3, {"interval_s": 1}), now_s=START_S)
    assert sensor.receive(b"", now_s=START_S + 1).messages == []
    assert (sensor.revision, sensor.settings.interval_s) == (None, 5)


def test_moments_that_were_missed_stay_missed():
    sensor = make(interval_s=1.0)
    run(sensor, from_s=0, to_s=10)
    late = START_S + 3600
    assert [m.topic for m in sensor.act(now_s=late).messages].count("measurements/s-1") == 1
    assert sensor.due_at_s > late


def test_an_excursion_is_logged_when_it_begins_and_when_it_ends():
    sent = run(make(interval_s=1.0, excursions_per_hour=60), from_s=0, to_s=3600)
    subjects = [entry["subject"] for family, entry in sent if family == "log-messages"]
    began = [subject for subject in subjects if subject.endswith("out of range")]
    assert len(began) > 10
    assert [subject.replace("back in", "out of") for subject in subjects if subject.endswith("back in range")] == (
        began[: sum(subject.endswith("back in range") for subject in subjects)]
    )


def test_the_same_seed_sends_the_same_bytes():
    first, second = (run(make(excursions_per_hour=30), from_s=0, to_s=3600) for _ in range(2))
    assert first == second
    assert {entry["severity"] for family, entry in first if family == "log-messages"} >= {"info", "warning"}


# --- Faults --------------------------------------------------------------------------------------


def test_silence_sends_for_two_minutes_and_then_nothing_for_three():
    times = moments(run(make(faults=[FAULTS["silence"]]), from_s=0, to_s=600), "measurements")
    assert all(moment % 300 < 120 for moment in times)
    assert {moment // 300 for moment in times} == {0, 1}


def test_flapping_swings_around_the_limit():
    sent = run(make(faults=[FAULTS["flapping"]], interval_s=5.0), from_s=0, to_s=60)
    assert {entry["value"]["temperature"] for family, entry in sent if family == "measurements"} == {49.8, 50.4}


def test_clocks_that_are_wrong_are_wrong_by_what_they_say():
    for name, offset_s in (("clock-ahead", 600), ("clock-behind", -3600)):
        [(_, entry)] = entries(make(faults=[FAULTS[name]]).begun[0])
        assert entry["timestamp"] == START_S + offset_s


def test_duplicates_are_the_same_bytes_twice():
    sensor = make(faults=[FAULTS["duplicates"]])
    messages = sensor.act(now_s=sensor.due_at_s).messages
    assert len(messages) == 2
    assert messages[0] == messages[1]


def test_a_backlog_comes_at_once_with_the_times_of_then():
    sensor = make(faults=[FAULTS["backlog"]])
    assert sensor.begun == []
    assert run(sensor, from_s=0, to_s=119.9) == []
    times = moments(run(sensor, from_s=119.9, to_s=130), "measurements")
    assert len(times) >= 24
    assert times == sorted(times)


def test_disconnects_come_every_10_to_30_seconds():
    sensor = make(faults=[FAULTS["disconnects"]])
    cuts = []
    while sensor.due_at_s < START_S + 300:
        now_s = sensor.due_at_s
        if sensor.act(now_s=now_s).cut:
            cuts.append(now_s)
    assert 10 <= len(cuts) <= 30


def test_refused_configurations_are_valid_ones():
    sensor = make(faults=[FAULTS["refuse-configurations"]])
    (family, entry), *_ = entries(sensor.receive(configuration(0, {}), now_s=START_S).messages[0])
    assert (family, entry["success"]) == ("heartbeats", False)
    assert sensor.revision is None


def test_garbage_comes_beside_the_good_messages_and_meets_every_kind():
    sensor = make(faults=[FAULTS["garbage"]])
    sent = []
    while sensor.due_at_s < START_S + 10 * len(GARBAGE) + 10:
        sent += sensor.act(now_s=sensor.due_at_s).messages
    assert any(len(message.payload) > 256 * 1024 and message.once for message in sent)
    assert any(b"NaN" in message.payload for message in sent)
    assert any(message.topic == "measurements/s-1/inside" for message in sent)
    assert sum(message.topic == "measurements/s-1" for message in sent) > 30


def test_a_share_of_sensors_has_the_fault_and_the_same_ones_for_a_seed():
    names = [f"s-{number}" for number in range(20)]
    wanted = [parse_fault("silence:0.25"), parse_fault("duplicates")]
    assigned = assign_faults(names, wanted, seed=3)
    assert sum(FAULTS["silence"] in kinds for kinds in assigned.values()) == 5
    assert sum(FAULTS["duplicates"] in kinds for kinds in assigned.values()) == 20
    assert assign_faults(names, wanted, seed=3) == assigned
    assert len(assign_faults(names, [parse_fault("silence:0.001")], seed=3)) == 1


@pytest.mark.parametrize("text", ["sleepy", "silence:0", "silence:2", "silence:many", ""])
def test_an_unknown_fault_or_share_is_refused(text):
    with pytest.raises(FaultError):
        parse_fault(text)
