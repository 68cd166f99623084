"""Payloads from the wire, against the golden files and against anything at all."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.wire import MAX_PAYLOAD_BYTES, PayloadError, Reason
from telemetry.payloads import Parsed, parse_heartbeats, parse_log_messages, parse_measurements
from tests import wire

PARSERS: dict[str, Callable[..., Parsed[Any]]] = {
    "heartbeats": parse_heartbeats,
    "log-messages": parse_log_messages,
    "measurements": parse_measurements,
}
NOW_S = 1_800_000_000.25


def measurement(value: str, *, timestamp: float = NOW_S) -> bytes:
    return f'{{"measurements": [{{"revision": 3, "timestamp": {timestamp}, "value": {value}}}]}}'.encode()


@pytest.mark.parametrize("case", wire.good(), ids=str)
def test_a_good_payload_is_kept_whole(case: wire.Golden) -> None:
    parsed = PARSERS[case.family](case.payload(NOW_S), now_s=NOW_S)

    assert len(parsed.entries) == case.stored
    assert parsed.refused == []


@pytest.mark.parametrize("case", wire.bad(), ids=str)
def test_what_is_wrong_costs_only_itself(case: wire.Golden) -> None:
    try:
        parsed = PARSERS[case.family](case.payload(NOW_S), now_s=NOW_S)
    except PayloadError as error:
        stored, reasons = 0, (error.code.value,)
    else:
        stored, reasons = len(parsed.entries), tuple(refused.reason.value for refused in parsed.refused)

    assert (stored, reasons) == (case.stored, case.reasons)


def test_an_entry_keeps_its_microseconds_and_its_value() -> None:
    parsed = parse_measurements(measurement('{"b": 1.5, "a": [1]}'.replace("[1]", "true")), now_s=NOW_S)

    (entry,) = parsed.entries
    assert entry.measured_us == 1_800_000_000_250_000
    assert entry.revision == 3
    assert entry.value == {"b": 1.5, "a": True}
    assert entry.encoded == b'{"a":true,"b":1.5}'


def test_the_digest_covers_time_revision_and_content_but_not_the_order_of_keys() -> None:
    def digest(payload: bytes) -> int:
        return parse_measurements(payload, now_s=NOW_S).entries[0].digest

    same = digest(measurement('{"a": 1, "b": 2}'))
    assert digest(measurement('{"b": 2, "a": 1}')) == same
    assert digest(measurement('{"a": 1, "b": 3}')) != same
    assert digest(measurement('{"a": 1, "b": 2}', timestamp=NOW_S - 1)) != same
    assert digest(measurement('{"a": 1, "b": 2}').replace(b'"revision": 3', b'"revision": 4')) != same


def test_both_readings_give_the_same_entry() -> None:
    """A bad neighbour makes the whole payload go the lenient way; the good entry must not notice."""
    alone = parse_measurements(measurement('{"a": 1, "b": 1.0, "c": "x", "d": null}'), now_s=NOW_S)
    neighbour = measurement('{"a": 1, "b": 1.0, "c": "x", "d": null}').replace(b"]}", b", 5]}")

    assert parse_measurements(neighbour, now_s=NOW_S).entries == alone.entries


def test_the_earliest_and_the_latest_timestamp_are_accepted_and_nothing_beyond() -> None:
    for timestamp in (946_684_800.0, NOW_S + 300):
        assert len(parse_measurements(measurement("{}", timestamp=timestamp), now_s=NOW_S).entries) == 1
    for timestamp in (946_684_799.999, NOW_S + 300.001):
        (refused,) = parse_measurements(measurement("{}", timestamp=timestamp), now_s=NOW_S).refused
        assert refused.reason is Reason.TIMESTAMP_OUT_OF_RANGE


def test_the_largest_payload_is_read_and_one_byte_more_is_not() -> None:
    empty = b'{"measurements": []}'
    parse_measurements(empty.ljust(MAX_PAYLOAD_BYTES), now_s=NOW_S)

    with pytest.raises(PayloadError) as caught:
        parse_measurements(empty.ljust(MAX_PAYLOAD_BYTES + 1), now_s=NOW_S)
    assert caught.value.code is Reason.TOO_LARGE


@pytest.mark.parametrize("opening", ["[", '{"measurements":', '{"measurements": [{"value": {"a": ', "[{"])
def test_no_nesting_is_too_deep_to_be_refused(opening: str) -> None:
    with pytest.raises(PayloadError) as caught:
        parse_measurements((opening * 100_000).encode()[:MAX_PAYLOAD_BYTES], now_s=NOW_S)
    assert caught.value.code is Reason.MALFORMED_JSON


def test_a_deeply_nested_value_does_not_cost_its_neighbours() -> None:
    deep = "[" * 50_000 + "]" * 50_000
    entry = '{{"revision": 0, "timestamp": 1800000000, "value": {}}}'
    text = f'{{"measurements": [{entry.format("{}")}, {entry.format(f"""{{"a": {deep}}}""")}, {entry.format("{}")}]}}'

    parsed = parse_measurements(text.encode(), now_s=NOW_S)

    assert len(parsed.entries) == 2
    assert [refused.reason for refused in parsed.refused] == [Reason.NOT_FLAT]


def test_brackets_inside_texts_are_no_nesting() -> None:
    value = {"text": "[" * 50 + '"}' * 50 + "\\"}

    (entry,) = parse_measurements(measurement(json.dumps(value) + "\t"), now_s=NOW_S).entries

    assert entry.value == value


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_refused(payload: bytes) -> None:
    for parse in PARSERS.values():
        codes = set()
        try:
            parse(payload, now_s=NOW_S)
        except PayloadError as error:
            codes.add(error.code)
        assert codes <= {Reason.MALFORMED_JSON, Reason.NOT_UTF8, Reason.SCHEMA}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.dictionaries(st.sampled_from(["revision", "timestamp", "value", "x"]), values), max_size=4))
def test_every_entry_is_either_kept_or_refused(entries: list[dict[str, Any]]) -> None:
    payload = json.dumps({"measurements": entries}).encode()

    parsed = parse_measurements(payload, now_s=time.time())

    assert len(parsed.entries) + len(parsed.refused) == len(entries)
