"""Revisions: numbering, states, conflicts, answers, the outbox."""

import functools
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from config import queries, services
from config.models import Revision, RevisionState
from config.services import Answer, RevisionConflict, create_revision
from sensors import services as sensors
from sensors.errors import Invalid, NotFound
from sensors.models import Network, Sensor, User
from tests.together import at_once

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def sensor(db):
    network = sensors.create_network(slug="revisions", owner=None)
    return sensors.create_sensor(network, identifier="rev-1")


def make(sensor, **values):
    return create_revision(sensor, values=values, author=None, now=NOW)


def states(sensor):
    return [revision.state.value for revision in Revision.objects.filter(sensor=sensor).order_by("number")]


def test_revisions_are_numbered_from_zero_for_each_sensor(sensor):
    other = sensors.create_sensor(sensor.network, identifier="rev-2")
    assert [make(sensor).number for _ in range(3)] == [0, 1, 2]
    assert make(other).number == 0


def test_a_new_revision_supersedes_the_one_before(sensor):
    make(sensor, a=1)
    assert states(sensor) == ["pending"]
    make(sensor, a=2)
    make(sensor, a=3)
    assert states(sensor) == ["superseded", "superseded", "pending"]


def test_what_was_answered_stays_answered_when_it_is_superseded(sensor):
    make(sensor)
    services.record_acknowledgements([Answer(sensor.pk, 0, True)], now=NOW)
    make(sensor)
    services.record_acknowledgements([Answer(sensor.pk, 1, False)], now=NOW)
    make(sensor)
    assert states(sensor) == ["acknowledged", "failed", "pending"]


def test_the_state_in_sql_is_the_state_in_python(sensor):
    for revision in range(2**4):
        flags = [revision >> bit & 1 for bit in range(4)]
        names = ("superseded_at", "published_at", "acknowledged_at", "failed_at")
        moments = {name: NOW if flag else None for name, flag in zip(names, flags, strict=True)}
        Revision.objects.create(sensor=sensor, number=revision, values={}, created_at=NOW, **moments)
    rows = list(queries.with_state(Revision.objects.all()))
    assert len(rows) == 16
    assert [row.state_text for row in rows] == [row.state.value for row in rows]
    assert {row.state for row in rows} == set(RevisionState)


@pytest.mark.parametrize("expected", [-1, 0, 2, 7])
def test_somebody_who_was_slower_is_refused_and_nothing_is_written(sensor, expected):
    make(sensor)
    make(sensor)
    with pytest.raises(RevisionConflict, match="the newest is revision 1"):
        create_revision(sensor, values={}, author=None, now=NOW, expected_revision=expected)
    assert states(sensor) == ["superseded", "pending"]


def test_who_knows_the_newest_revision_may_go_on(sensor):
    assert create_revision(sensor, values={}, author=None, now=NOW, expected_revision=-1).number == 0
    assert create_revision(sensor, values={}, author=None, now=NOW, expected_revision=0).number == 1
    with pytest.raises(RevisionConflict):
        create_revision(sensor, values={}, author=None, now=NOW, expected_revision=0)


@pytest.mark.parametrize(
    ("values", "comment", "field"),
    [
        ([], "", "configuration"),
        ({"a": {}}, "", "configuration"),
        ({"a": float("nan")}, "", "configuration"),
        ({str(key): 0 for key in range(201)}, "", "configuration"),
        ({"a": "x" * 70_000}, "", "configuration"),
        ({}, "x" * 501, "comment"),
        ({}, "nul\x00", "comment"),
    ],
)
def test_what_is_wrong_about_a_revision_is_named_and_nothing_is_written(sensor, values, comment, field):
    with pytest.raises(Invalid) as caught:
        create_revision(sensor, values=values, comment=comment, author=None, now=NOW)
    assert caught.value.field == field
    assert Revision.objects.count() == 0


def test_a_sensor_that_was_deleted_meanwhile_is_not_found(sensor):
    stale = Sensor.objects.get()
    sensor.delete()
    with pytest.raises(NotFound):
        make(stale)


def test_restoring_makes_a_new_revision_with_the_old_values(sensor):
    first = make(sensor, pace=1)
    make(sensor, pace=2)
    restored = services.restore_revision(first, author=None, now=NOW)
    assert (restored.number, restored.values) == (2, {"pace": 1})
    assert restored.comment == "Restored from revision 0"
    assert services.restore_revision(first, author=None, now=NOW, comment="Back").comment == "Back"


def test_the_database_keeps_a_revision_as_it_was_made(sensor):
    revision = make(sensor, a=1)
    author = User.objects.create_user("author")
    for change in ({"values": {"a": 2}}, {"number": 5}, {"comment": "x"}, {"created_at": NOW - timedelta(1)}):
        with pytest.raises(IntegrityError, match="immutable"), transaction.atomic():
            Revision.objects.filter(pk=revision.pk).update(**change)
    authored = create_revision(sensor, values={}, author=author, now=NOW)
    author.delete()
    authored.refresh_from_db()
    assert authored.created_by is None


class TestAnswers:
    """What heartbeats say about revisions."""

    def answer(self, sensor, *answers, now=NOW):
        changes = services.record_acknowledgements(
            [Answer(sensor.pk, number, success) for number, success in answers], now=now
        )
        return [(change.sensor, change.number, change.state.value) for change in changes]

    def test_a_success_acknowledges_once(self, sensor):
        make(sensor)
        assert self.answer(sensor, (0, True)) == [("rev-1", 0, "acknowledged")]
        assert self.answer(sensor, (0, True), now=NOW + timedelta(hours=1)) == []
        assert Revision.objects.get().acknowledged_at == NOW

    def test_an_answer_says_how_long_after_the_brokers_confirmation_it_came(self, sensor):
        def answer_s(*, success, after_s):
            answers = [Answer(sensor.pk, 0, success)]
            changes = services.record_acknowledgements(answers, now=NOW + timedelta(seconds=after_s))
            return [change.answer_s for change in changes]

        revision = make(sensor)
        (published,) = services.mark_published([revision.pk], now=NOW)
        assert published.answer_s is None
        assert answer_s(success=False, after_s=1.5) == [1.5]
        assert answer_s(success=False, after_s=2) == []
        assert answer_s(success=True, after_s=60) == [60.0]

    def test_an_answer_before_the_brokers_confirmation_took_no_time(self, sensor):
        make(sensor)
        answers = [Answer(sensor.pk, 0, True)]
        assert [change.answer_s for change in services.record_acknowledgements(answers, now=NOW)] == [0.0]

    def test_a_failure_may_become_a_success_and_never_the_other_way_round(self, sensor):
        make(sensor)
        later = NOW + timedelta(minutes=1)
        assert self.answer(sensor, (0, False)) == [("rev-1", 0, "failed")]
        assert self.answer(sensor, (0, False), now=later) == []
        assert Revision.objects.get().failed_at == NOW
        assert self.answer(sensor, (0, True), now=later) == [("rev-1", 0, "acknowledged")]
        assert self.answer(sensor, (0, False), now=later) == []
        revision = Revision.objects.get()
        assert (revision.state, revision.acknowledged_at, revision.failed_at) == ("acknowledged", later, NOW)

    def test_both_answers_in_one_batch_count_as_a_success(self, sensor):
        make(sensor)
        assert self.answer(sensor, (0, False), (0, True), (0, False)) == [("rev-1", 0, "acknowledged")]
        assert Revision.objects.get().failed_at is None

    def test_a_number_that_was_never_created_changes_nothing(self, sensor):
        make(sensor)
        assert self.answer(sensor, (1, True), (2**31 - 1, True)) == []
        assert states(sensor) == ["pending"]

    def test_an_unknown_sensor_changes_nothing(self, sensor):
        assert services.record_acknowledgements([Answer(2**60, 0, True)], now=NOW) == []

    def test_answers_of_many_sensors_are_one_statement(self, sensor, django_assert_num_queries):
        others = [sensors.create_sensor(sensor.network, identifier=f"many-{number}") for number in range(50)]
        for other in others:
            make(other)
        with django_assert_num_queries(3):  # a savepoint around it
            changes = services.record_acknowledgements([Answer(other.pk, 0, True) for other in others], now=NOW)
        assert len(changes) == 50
        with django_assert_num_queries(0):
            assert services.record_acknowledgements([], now=NOW) == []

    def test_an_answer_rolls_back_with_its_batch(self, sensor):
        make(sensor)
        with transaction.atomic():
            self.answer(sensor, (0, True))
            transaction.set_rollback(True)
        assert states(sensor) == ["pending"]


class TestOutbox:
    """What the bridge publishes."""

    def test_only_the_newest_is_due(self, sensor):
        other = sensors.create_sensor(sensor.network, identifier="rev-2")
        make(sensor, pace=1)
        newest = make(sensor, pace=2)
        second = make(other, pace=3)
        due = services.due_publications()
        assert [(one.revision_id, one.sensor, one.number, one.values) for one in due] == [
            (newest.pk, "rev-1", 1, {"pace": 2}),
            (second.pk, "rev-2", 0, {"pace": 3}),
        ]
        assert len(services.due_publications(limit=1)) == 1

    def test_what_is_published_is_due_no_more(self, sensor):
        revision = make(sensor)
        changes = services.mark_published([revision.pk], now=NOW)
        assert [(change.sensor, change.number, change.state.value) for change in changes] == [("rev-1", 0, "published")]
        assert services.due_publications() == []
        assert services.mark_published([revision.pk], now=NOW + timedelta(1)) == []
        assert Revision.objects.get().published_at == NOW

    def test_a_confirmation_that_comes_late_is_kept(self, sensor):
        old = make(sensor)
        make(sensor)
        services.mark_published([old.pk, 2**60], now=NOW)
        assert states(sensor) == ["superseded", "pending"]

    def test_everything_current_is_the_newest_of_each_sensor(self, sensor):
        other = sensors.create_sensor(sensor.network, identifier="rev-2")
        make(sensor)
        newest = make(sensor)
        second = make(other)
        services.mark_published([newest.pk, second.pk], now=NOW)
        assert [one.revision_id for one in services.all_current()] == [newest.pk, second.pk]

    def test_publishing_again_puts_the_newest_back_and_keeps_its_answer(self, sensor):
        other = sensors.create_sensor(sensor.network, identifier="rev-2")
        for one in (sensor, sensor, other):
            services.mark_published([make(one).pk], now=NOW)
        services.record_acknowledgements([Answer(other.pk, 0, True)], now=NOW)
        assert services.publish_again(["rev-1"]) == 1
        assert [(one.sensor, one.number) for one in services.due_publications()] == [("rev-1", 1)]
        assert services.publish_again() == 1
        assert len(services.due_publications()) == 2
        assert states(other) == ["acknowledged"]

    def test_the_bridge_is_woken(self, sensor, transactional_db):
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {services.OUTBOX_CHANNEL}")
        heard = connection.connection.notifies(timeout=5, stop_after=1)
        make(sensor)
        assert len(list(heard)) == 1
        services.publish_again()
        assert len(list(connection.connection.notifies(timeout=5, stop_after=1))) == 1
        with connection.cursor() as cursor:
            cursor.execute("UNLISTEN *")


class TestCommand:
    """`manage.py publish_configurations`."""

    def run(self, *arguments):
        out = StringIO()
        call_command("publish_configurations", *arguments, stdout=out)
        return out.getvalue()

    def test_it_says_how_many(self, sensor):
        services.mark_published([make(sensor).pk], now=NOW)
        assert self.run("rev-1").startswith("1 configuration will")
        assert json.loads(self.run("--json")) == {"publish_again": 0}
        assert states(sensor) == ["pending"]

    def test_an_unknown_sensor_stops_it(self, sensor):
        services.mark_published([make(sensor).pk], now=NOW)
        with pytest.raises(CommandError, match="missing"):
            self.run("rev-1", "missing")
        assert states(sensor) == ["published"]


class TestEvents:
    """What live views are told, after the commit."""

    @pytest.fixture
    def events(self, monkeypatch):
        events = []

        def note(network, sensor, *, revision, state):
            events.append((network, sensor, revision, state))

        monkeypatch.setattr("config.services.live.send_configuration", note)
        return events

    def test_each_change_of_state_is_told_once(self, sensor, events, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            make(sensor)
        with django_capture_on_commit_callbacks(execute=True):
            revision = make(sensor)
            services.mark_published([revision.pk], now=NOW)
            services.mark_published([revision.pk], now=NOW)
            services.record_acknowledgements([Answer(sensor.pk, 1, True)], now=NOW)
            services.record_acknowledgements([Answer(sensor.pk, 1, True)], now=NOW)
        assert events == [
            ("revisions", "rev-1", 0, "pending"),
            ("revisions", "rev-1", 0, "superseded"),
            ("revisions", "rev-1", 1, "pending"),
            ("revisions", "rev-1", 1, "published"),
            ("revisions", "rev-1", 1, "acknowledged"),
        ]

    def test_nothing_is_told_of_what_was_rolled_back(self, sensor, events, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            make(sensor)
            transaction.set_rollback(True)
        assert events == []


@pytest.fixture
def shared_sensor(transactional_db):
    network = sensors.create_network(slug="shared", owner=None)
    yield sensors.create_sensor(network, identifier="shared-1")
    Network.objects.all().delete()


def test_writers_at_the_same_time_get_numbers_without_gaps(shared_sensor):
    results = at_once(*[lambda index=index: make(shared_sensor, index=index).number for index in range(20)])
    assert sorted(results) == list(range(20))
    assert states(shared_sensor) == ["superseded"] * 19 + ["pending"]


def test_of_writers_who_expect_the_same_revision_one_succeeds(shared_sensor):
    make(shared_sensor)

    def work():
        return create_revision(shared_sensor, values={}, author=None, now=NOW, expected_revision=0).number

    results = at_once(*[work] * 8, expected=RevisionConflict)
    assert sorted(type(result).__name__ for result in results) == ["RevisionConflict"] * 7 + ["int"]
    assert Revision.objects.count() == 2


def test_confirmations_answers_and_writers_do_not_deadlock(shared_sensor):
    others = [sensors.create_sensor(shared_sensor.network, identifier=f"busy-{number}") for number in range(10)]
    for other in others:
        make(other)

    def work(index):
        for _ in range(10):
            if index % 3 == 0:
                ids = list(Revision.objects.order_by("-pk" if index % 2 else "pk").values_list("pk", flat=True))
                services.mark_published(ids, now=NOW)
            elif index % 3 == 1:
                answers = [Answer(other.pk, 0, True) for other in others]
                services.record_acknowledgements(answers[:: -1 if index % 2 else 1], now=NOW)
            else:
                make(others[index % 10])
        return "done"

    assert at_once(*[functools.partial(work, index) for index in range(6)]) == ["done"] * 6
