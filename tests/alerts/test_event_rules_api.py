"""Rules about log messages and configurations over HTTP, and the mark of alerts that flap."""

import pytest

from tests.alerts.making import feed, make_threshold

pytestmark = pytest.mark.django_db

LOG = {"kind": "log_severity", "name": "Errors", "log_severity": "warning", "count": 3, "window_s": 60}
CONFIGURATION = {"kind": "configuration_failure", "name": "Not configured", "timeout_s": 600}


@pytest.mark.parametrize("body", [LOG, CONFIGURATION])
def test_a_rule_about_events_shows_what_counts_for_its_kind_and_nothing_else(world, body):
    answer = world.operator.post("alert-rules/", body | {"network": world.network.slug})
    assert answer.status_code == 201, answer.content
    shown = answer.json()
    fields = {"log_severity", "count", "window_s", "timeout_s", "above", "attribute", "period_s", "share"}
    assert {name: shown[name] for name in fields if shown[name] is not None} == {
        name: value for name, value in body.items() if name in fields
    }
    changed = world.operator.patch(f"alert-rules/{shown['id']}/", {name: None for name in body if name in fields})
    assert changed.status_code == 200, changed.content
    defaults = {"log_severity": "error", "count": 1, "window_s": 300, "timeout_s": 300}
    assert all(changed.json()[name] == defaults[name] for name in body if name in fields)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (LOG | {"count": 0}, "count"),
        (LOG | {"count": "3"}, "count"),
        (LOG | {"count": 1_001}, "count"),
        (LOG | {"window_s": 0}, "window_s"),
        (LOG | {"log_severity": "critical"}, "log_severity"),
        (LOG | {"timeout_s": 5}, "timeout_s"),
        (CONFIGURATION | {"timeout_s": 0}, "timeout_s"),
        (CONFIGURATION | {"timeout_s": True}, "timeout_s"),
        (CONFIGURATION | {"count": 3}, "count"),
    ],
)
def test_a_wrong_field_is_named(world, change, field):
    answer = world.operator.post("alert-rules/", change | {"network": world.network.slug})
    assert (answer.status_code, list(answer.json())) == (400, [field])


@pytest.mark.parametrize("body", [LOG, CONFIGURATION])
def test_what_a_rule_about_events_would_cover_is_counted_and_the_past_is_not_tried(world, body):
    found = world.operator.post("alert-rules/match/", body | {"network": world.network.slug})
    assert found.json()["sensors"] == 1
    past = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z", "network": world.network.slug}
    assert world.operator.post("alert-rules/backtest/", body | past).json().keys() == {"kind"}


def test_alerts_that_flap_are_found_by_their_mark(world):
    make_threshold(world.network)
    feed(world.sensor, [(second, 51.0 if second % 2 else 1.0) for second in range(1, 8)])
    shown = world.operator.get("alerts/?flapping=true").json()["results"]
    assert [(row["state"], row["flapping"]) for row in shown] == [("firing", True)]
    assert len(world.operator.get("alerts/?flapping=false").json()["results"]) == 3
