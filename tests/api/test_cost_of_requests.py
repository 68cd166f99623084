"""What each request costs before and beside its own question."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sensors import services


def tables(caller, path):
    """Return from which table each query of a request reads."""
    with CaptureQueriesContext(connection) as captured:
        assert caller.get(path).status_code == 200
    return [query["sql"].split(" FROM ", 1)[1].split()[0].strip('"') for query in captured]


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("me/", ["sensors_membership"]),
        ("sensors/one/measurements/", ["sensors_sensor", "telemetry_measurement"]),
        ("sensors/one/heartbeats/", ["sensors_sensor", "telemetry_heartbeat"]),
        ("measurements/latest/", ["sensors_sensorstate"]),
    ],
)
def test_a_read_is_the_token_with_its_user_and_one_query_for_each_thing_asked_for(world, path, read):
    services.create_sensor(world.network, identifier="one")
    # Made now, so that it is not among what is counted.
    viewer = world.viewer
    assert tables(viewer, path) == ["sensors_accesstoken", *read]
