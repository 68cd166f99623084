"""What a configuration may hold, its message, and the difference between two. Pure."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.diff import Diff, diff
from config.payloads import MAX_CONFIGURATION_BYTES, check_values, configuration_payload
from sensors.wire import PayloadError, Reason

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
)
flat = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20), scalars, max_size=20
)


@pytest.mark.parametrize("values", [{}, {"a": 1, "b": 1.5, "c": "x", "d": True, "e": None, "": "empty key"}])
def test_flat_values_are_a_configuration(values):
    assert check_values(values) == values


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (None, Reason.SCHEMA),
        ([], Reason.SCHEMA),
        ("x", Reason.SCHEMA),
        ({"a": []}, Reason.NOT_FLAT),
        ({"a": {"b": 1}}, Reason.NOT_FLAT),
        ({"a": float("nan")}, Reason.NOT_FINITE),
        ({"a": float("-inf")}, Reason.NOT_FINITE),
        ({"a": 10**400}, Reason.NOT_FINITE),
        ({"a\x00": 1}, Reason.SCHEMA),
        ({"a": "\ud800"}, Reason.SCHEMA),
        ({str(key): key for key in range(201)}, Reason.TOO_MANY_ATTRIBUTES),
        ({"a": "x" * MAX_CONFIGURATION_BYTES}, Reason.TOO_LARGE),
        ({"a": "☃" * (MAX_CONFIGURATION_BYTES // 3)}, Reason.TOO_LARGE),
    ],
)
def test_anything_else_is_refused_with_its_reason(values, reason):
    with pytest.raises(PayloadError) as caught:
        check_values(values)
    assert caught.value.code == reason


def test_the_limits_themselves_are_allowed():
    assert len(check_values({str(key): key for key in range(200)})) == 200
    frame = len(b'{"a":""}')
    assert check_values({"a": "x" * (MAX_CONFIGURATION_BYTES - frame)})


def test_the_message_is_that_of_the_contract():
    payload = configuration_payload(3, {"pace": 5, "ünit": "°C", "on": True, "off": None})
    assert json.loads(payload) == {
        "revision": 3,
        "configuration": {"pace": 5, "ünit": "°C", "on": True, "off": None},
    }
    assert payload == configuration_payload(3, {"off": None, "on": True, "ünit": "°C", "pace": 5})


@given(flat)
def test_a_message_carries_its_values_unchanged(values):
    assert json.loads(configuration_payload(0, check_values(values))) == {"revision": 0, "configuration": values}


def test_a_difference_names_what_was_added_removed_and_changed():
    found = diff({"same": 1, "gone": 2, "new value": 3}, {"same": 1, "come": 4, "new value": 5})
    assert found == Diff(added={"come": 4}, removed={"gone": 2}, changed={"new value": (3, 5)})


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [(1, 1.0, True), (0.0, -0.0, True), (1, True, False), (0, False, False), (None, "", False), (1, "1", False)],
)
def test_values_are_compared_as_json(old, new, is_same):
    assert diff({"a": old}, {"a": new}).is_empty is is_same


@given(flat, flat)
def test_a_difference_leads_from_one_to_the_other_and_back(old, new):
    found = diff(old, new)
    rebuilt = {key: value for key, value in old.items() if key not in found.removed}
    rebuilt |= found.added | {key: value for key, (_, value) in found.changed.items()}
    assert diff(rebuilt, new).is_empty
    back = diff(new, old)
    assert (back.added, back.removed) == (found.removed, found.added)
    assert back.changed == {key: (after, before) for key, (before, after) in found.changed.items()}


@given(flat)
def test_nothing_differs_from_itself(values):
    assert diff(values, dict(values)).is_empty
