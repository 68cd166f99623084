"""Trying a rule on the past: the same episodes as the evaluation's, found without saving anything."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import backtest as backtests
from alerts.backtest import backtest
from alerts.models import Alert, EvaluationBatch, Rule
from alerts.services import draft_rule
from sensors.errors import Invalid
from sensors.models import Role
from telemetry.models import Measurement
from telemetry.queries import numbers
from tests.alerts.making import at, feed, history, make_network, make_sensor, make_threshold, offset
from tests.api.callers import Caller
from tests.api.callers import make_network as make_shared_network
from tests.telemetry.rows import put_measurements

pytestmark = pytest.mark.django_db


def put(sensor, points, *, attribute="temperature"):
    """Store (offset_s, value) as measurements."""
    put_measurements(sensor, [(at(offset_s), {attribute: value}) for offset_s, value in points])


def tried(sensors, *, start_s=0, end_s=100_000, max_samples=backtests.MAX_SAMPLES, **fields):
    """Return the backtest of a rule that fires above 50."""
    network = sensors[0].network
    rule = draft_rule(network, name="Hot", **{"kind": "threshold", "attribute": "temperature", "above": 50.0, **fields})
    return backtest(rule, sensors, start=at(start_s), end=at(end_s), max_samples=max_samples)


def spans(found):
    """Return the episodes as (started, fired, resolved) in seconds after the start."""
    return [(offset(each.started_at), offset(each.fired_at), offset(each.resolved_at)) for each in found.episodes]


def test_it_says_what_would_have_fired_and_saves_nothing(sensor):
    put(sensor, [(10, 20.0), (20, 51.0), (30, 60.0), (40, 50.0), (50, 70.0)])
    found = tried([sensor], end_s=110)
    assert spans(found) == [(20, 20, 40), (50, 50, None)]
    assert [each.value for each in found.episodes] == [60.0, 70.0]
    assert (found.sensors, found.samples, found.fired, found.firing_s) == (1, 5, 2, 80.0)
    assert (Rule.objects.count(), Alert.objects.count(), EvaluationBatch.objects.count()) == (0, 0, 0)


def test_what_cleared_before_it_fired_is_counted(sensor):
    put(sensor, [(0, 51.0), (30, 20.0), (60, 51.0), (120, 51.0), (130, 20.0), (140, 51.0)])
    found = tried([sensor], for_s=60)
    assert spans(found) == [(60, 120, 130)]
    assert (found.fired, found.cleared_early) == (1, 1)


def test_only_the_range_and_only_numbers_count(sensor):
    put(sensor, [(9, 99.0), (10, 20.0), (11, "99"), (12, True), (13, None), (20, 99.0)])
    put(sensor, [(14, 99.0)], attribute="humidity")
    found = tried([sensor], start_s=10, end_s=20)
    assert (found.samples, found.fired) == (1, 0)


def test_sensors_are_judged_each_for_itself(network):
    sensors = [make_sensor(network) for _ in range(3)]
    for number, sensor in enumerate(sensors):
        put(sensor, [(number, 51.0), (10, 20.0)])
    found = tried(sensors)
    assert [each.sensor for each in found.episodes] == [sensor.identifier for sensor in sensors]
    assert (found.sensors, found.fired) == (3, 3)


def test_a_list_of_many_episodes_is_cut_and_all_are_counted(sensor, monkeypatch):
    monkeypatch.setattr(backtests, "MAX_EPISODES", 2)
    put(sensor, [(second, 51.0 if second % 2 else 20.0) for second in range(10)])
    found = tried([sensor])
    assert (len(found.episodes), found.fired) == (2, 5)


def test_more_values_than_are_allowed_are_refused_in_words(sensor):
    put(sensor, [(second, 20.0) for second in range(5)])
    assert tried([sensor], max_samples=5).samples == 5
    with pytest.raises(Invalid, match="more than 4 values") as refused:
        tried([sensor], max_samples=4)
    assert refused.value.field == "start"


@given(
    points=st.dictionaries(st.integers(0, 200), st.floats(40, 60), min_size=1, max_size=40),
    limits=st.fixed_dictionaries(
        {
            "above": st.integers(45, 55),
            "hysteresis": st.integers(0, 3),
            "for_s": st.sampled_from([0, 5, 20]),
            "keep_firing_s": st.sampled_from([0, 5, 20]),
        }
    ),
    per_chunk=st.integers(1, 50),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_finds_what_the_evaluation_finds(db, monkeypatch, points, limits, per_chunk):
    monkeypatch.setattr(numbers, "_PER_CHUNK", per_chunk)
    sensor = make_sensor(make_network())
    put(sensor, points.items())
    rule = make_threshold(sensor.network, **limits)
    feed(sensor, sorted(points.items()))

    found = tried([sensor], **limits)

    fired = [row[1:4] for row in history(rule=rule) if row[2] is not None]
    assert spans(found) == fired
    assert found.samples == Measurement.objects.filter(sensor_id=sensor.pk).count()


def test_a_rule_about_change_is_tried_over_chunks(sensor, monkeypatch):
    monkeypatch.setattr(numbers, "_PER_CHUNK", 2)
    put(sensor, [(0, 20.0), (60, 21.0), (120, 31.0), (180, 31.0), (240, 20.0), (300, 40.0)])
    found = tried([sensor], kind="rate_of_change", above=5.0)
    assert spans(found) == [(120, 120, 180), (300, 300, None)]
    assert [each.value for each in found.episodes] == [10.0, 20.0]
    assert found.samples == 6


# --- HTTP ----------------------------------------------------------------------------------------------


@pytest.fixture
def plant(db):
    """Return a network, its people, and a sensor that was too hot for ten seconds."""
    network, users = make_shared_network("plant", viewer=Role.VIEWER, operator=Role.OPERATOR)
    sensor = make_sensor(network)
    put(sensor, [(10, 20.0), (20, 51.0), (30, 20.0)])
    return network, sensor, {name: Caller(user) for name, user in users.items()}


def body(sensor, **changes):
    sent = {"kind": "threshold", "attribute": "temperature", "above": 50, "sensors": [sensor.identifier]}
    return sent | {"start": at(0).isoformat(), "end": at(60).isoformat()} | changes


def test_an_operator_tries_a_rule_over_http(plant):
    network, sensor, callers = plant
    answer = callers["operator"].post("alert-rules/backtest/", body(sensor))
    assert answer.status_code == 200, answer.content
    result = answer.json()
    assert (result["network"], result["scope"], result["sensors"], result["samples"]) == (network.slug, "sensors", 1, 3)
    assert (result["fired"], result["firing_s"], result["cleared_early"]) == (1, 10.0, 0)
    (episode,) = result["episodes"]
    assert (episode["sensor"], episode["value"]) == (sensor.identifier, 51.0)
    assert Rule.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": None}, "start"),
        ({"end": at(-1).isoformat()}, "end"),
        ({"kind": "staleness", "attribute": None, "above": None}, "kind"),
        ({"above": None}, "above"),
        ({"sensors": ["nobody"]}, "sensors"),
    ],
)
def test_what_cannot_be_tried_is_named(plant, changes, field):
    _, sensor, callers = plant
    answer = callers["operator"].post("alert-rules/backtest/", body(sensor, **changes))
    assert answer.status_code == 400, answer.content
    assert field in answer.json()


def test_who_only_looks_may_not_try(plant):
    _, sensor, callers = plant
    assert callers["viewer"].post("alert-rules/backtest/", body(sensor)).status_code == 403


# --- The command -----------------------------------------------------------------------------------------


def run(*arguments):
    out = StringIO()
    call_command("backtest", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_command_tries_a_described_rule_and_a_saved_one(plant):
    network, sensor, _ = plant
    span = ("--start", at(0).isoformat(), "--end", at(60).isoformat())
    described = run("--network", network.slug, "--attribute", "temperature", "--above", "50", *span)
    assert f"{sensor.identifier}: violated from 2026-03-01 12:00:20" in described
    assert "1 alerts, firing for 0.0 hours in all" in described
    rule = make_threshold(network)
    saved = json.loads(run("--rule", str(rule.pk), *span, "--json"))
    assert (saved["fired"], saved["samples"], saved["firing_s"]) == (1, 3, 10.0)
    assert saved["episodes"][0]["sensor"] == sensor.identifier


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--network"),
        (("--rule", "0"), "--network"),
        (("--rule", "99999"), "There is no rule 99999"),
        (("--network", "plant", "--attribute", "a"), "--above: A threshold rule has a limit"),
        (("--network", "plant", "--attribute", "a", "--above", "1", "--sensors", "x"), "There is no sensor x"),
        (("--network", "nowhere"), "There is no network 'nowhere'; there are: "),
        (("--network", "plant", "--start", "soon"), "'soon' is no time"),
    ],
)
def test_the_command_says_what_is_missing(plant, arguments, words):
    network, _, _ = plant
    with pytest.raises(CommandError, match=words):
        run(*(network.slug if argument == "plant" else argument for argument in arguments))


def test_without_a_range_it_looks_at_thirty_days(sensor, monkeypatch):
    put(sensor, [(0, 51.0), (10, 20.0)])
    monkeypatch.setattr("django.utils.timezone.now", lambda: at(0) + timedelta(days=29))
    found = json.loads(run("--network", sensor.network.slug, "--attribute", "temperature", "--above", "50", "--json"))
    assert found["fired"] == 1
