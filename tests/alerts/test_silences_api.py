"""Silences over HTTP, exactly as the public surface promises."""

from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.models import Silence
from tests.alerts.making import feed, make_threshold
from tests.api.callers import listed

pytestmark = pytest.mark.django_db


def test_a_silence_shows_on_the_alerts_that_it_matches(world):
    make_threshold(world.network)
    feed(world.sensor, [(1, 51.0)])
    ends_at = (timezone.now() + timedelta(hours=1)).isoformat()
    body = {"matchers": {"sensor": world.sensor.identifier}, "ends_at": ends_at, "comment": "Maintenance"}
    answer = world.operator.post("silences/", body)
    assert answer.status_code == 201, answer.content
    shown = answer.json()
    assert (shown["network"], shown["matchers"], shown["comment"]) == (
        world.network.slug,
        body["matchers"],
        "Maintenance",
    )
    assert shown["created_by"] == world.operator.user.username
    path = f"silences/{shown['id']}/"
    assert world.viewer.get(path).json() == shown
    assert listed(world.viewer, "silences/", active="true") == [shown]
    assert listed(world.viewer, "alerts/")[0]["silenced"] is True
    ended = world.operator.patch(path, {"ends_at": timezone.now().isoformat()})
    assert ended.status_code == 200, ended.content
    assert listed(world.viewer, "silences/", active="true") == []
    assert listed(world.viewer, "silences/", active="false") == [ended.json()]
    assert listed(world.viewer, "alerts/")[0]["silenced"] is False
    assert world.operator.delete(path).status_code == 204
    assert listed(world.viewer, "silences/") == []


def test_access_to_silences(world):
    ends_at = (timezone.now() + timedelta(hours=1)).isoformat()
    body = {"matchers": {"network": world.network.slug}, "ends_at": ends_at}
    assert world.nobody.post("silences/", body).status_code == 401
    assert world.stranger.post("silences/", body).json().keys() == {"matchers"}
    assert world.viewer.post("silences/", body).status_code == 403
    made = world.operator.post("silences/", body).json()
    path = f"silences/{made['id']}/"
    assert [world.stranger.get(path).status_code, world.stranger.delete(path).status_code] == [404, 404]
    assert [world.viewer.get(path).status_code, world.viewer.delete(path).status_code] == [200, 403]
    for change, field in [({"matchers": {"severity": "info"}}, "matchers"), ({"ends_at": "soon"}, "ends_at")]:
        assert world.operator.patch(path, change).json().keys() == {field}
    assert Silence.objects.count() == 1
