import pytest

from fleet.simulator.configuration import ConfigurationError, Envelope, Settings, parse_envelope

BASE = Settings(interval_s=5)


@pytest.mark.parametrize("interval_s", [0.1, 1, 2.5, 86_400])
def test_an_interval_within_bounds_is_taken(interval_s):
    assert BASE.changed_by({"interval_s": interval_s}).interval_s == interval_s


@pytest.mark.parametrize("interval_s", [0, -1, 86_401, True, "5", None, float("nan"), float("inf")])
def test_any_other_interval_is_refused_by_name_and_value(interval_s):
    with pytest.raises(ConfigurationError, match="interval_s is"):
        BASE.changed_by({"interval_s": interval_s})


def test_unknown_keys_and_none_at_all_are_fine():
    assert BASE.changed_by({"colour": "green"}) == BASE
    assert BASE.changed_by({}) == BASE


def test_attributes_choose_signals_in_their_own_order():
    assert BASE.changed_by({"attributes": "humidity, temperature"}).attributes == ("temperature", "humidity")


@pytest.mark.parametrize("attributes", ["", "warmth", "temperature,,humidity", 5, None])
def test_attributes_that_do_not_exist_are_refused(attributes):
    with pytest.raises(ConfigurationError, match="attributes is"):
        BASE.changed_by({"attributes": attributes})


def test_heartbeats_come_every_30_s_or_as_slowly_as_measurements_unless_set():
    assert BASE.heartbeat_every_s == 30
    assert Settings(interval_s=60).heartbeat_every_s == 60
    assert BASE.changed_by({"heartbeat_interval_s": 7, "interval_s": 60}).heartbeat_every_s == 7


def test_an_envelope_has_a_revision_and_flat_values():
    assert parse_envelope(b'{"revision": 3, "configuration": {"interval_s": 2}, "more": 1}') == Envelope(
        3, {"interval_s": 2}
    )


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b'{"configuration": {}}', b'{"revision": -1}', b'{"revision": "0"}'],
)
def test_without_a_revision_there_is_nothing_to_answer_to(payload):
    with pytest.raises(ConfigurationError):
        parse_envelope(payload)


@pytest.mark.parametrize("values", ["null", "[]", '{"a": {"b": 1}}', '{"a": NaN}', '{"a": 1e999}'])
def test_a_configuration_that_is_not_flat_keeps_its_revision_and_says_what_is_wrong(values):
    envelope = parse_envelope(f'{{"revision": 4, "configuration": {values}}}'.encode())
    assert envelope.revision == 4
    assert envelope.problem
