"""How answers become JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from django.utils.functional import lazystr
from rest_framework.renderers import JSONRenderer

from sensors.api.renderers import FastJSONRenderer


@pytest.mark.parametrize(
    "data",
    [
        {"text": "Grüße \u2028 </script> \x7f", "none": None, "yes": True, "whole": 2**70, "half": 0.5},
        [1e-7, 1e16, -0.0, 1.7976931348623157e308, 21.0],
        {"at": datetime(2026, 3, 1, 12, tzinfo=UTC)},
        {"at": datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)},
        {"at": datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))},
        lazystr("later"),
        {1: "number as a key"},
    ],
)
def test_it_says_what_the_frameworks_own_renderer_says(data):
    assert json.loads(FastJSONRenderer().render(data)) == json.loads(JSONRenderer().render(data))


def test_raw_json_is_taken_over_as_it_is():
    rendered = FastJSONRenderer().render({"value": msgspec.Raw('{"t": 21.50}')})
    assert rendered == b'{"value":{"t": 21.50}}'


def test_nothing_is_an_empty_body():
    assert FastJSONRenderer().render(None) == b""


def test_who_asks_for_it_gets_it_indented():
    data = {"value": msgspec.Raw('{"t": 1}')}
    assert FastJSONRenderer().render(data, "application/json; indent=2") == b'{\n  "value": {\n    "t": 1\n  }\n}'
