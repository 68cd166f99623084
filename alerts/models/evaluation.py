"""The durable queues of samples and log messages, how far they were evaluated, and what must be matched anew."""

from django.db import models
from django.db.models import Q

from alerts.models.rule import Rule
from sensors.models import Sensor


class EvaluationBatch(models.Model):
    """New samples of one lane that rules wait for, in the order in which they were stored.

    Written in the transaction of ingest, deleted in the transaction that evaluated it. A lane holds the sensors
    whose id modulo LANES is its number; whoever evaluates a lane locks it, so no sensor's samples are overtaken.
    `samples` is the msgpack encoding of a list of [[sensor_id, …], [measured_at, …], [received_at, …],
    {attribute: [number or nil, …]}], times in microseconds since 1970.
    """

    lane = models.SmallIntegerField()
    created_at = models.DateTimeField()
    sample_count = models.PositiveIntegerField()
    samples = models.BinaryField()

    class Meta:
        indexes = [models.Index(fields=["lane", "id"], name="evaluation_lane")]


class LogNote(models.Model):
    """A new log message that some rule of its network may count.

    Written by ingest in the transaction that stores the message, deleted in the transaction that counted it. Lanes are
    those of `EvaluationBatch`. Plain numbers, because the note may outlive its sensor.
    """

    lane = models.SmallIntegerField()
    sensor_id = models.BigIntegerField()
    # The place of its severity among them all, 0 for the mildest.
    rank = models.SmallIntegerField()
    # Microseconds since 1970, on the sensor's clock and on the bridge's.
    measured_us = models.BigIntegerField()
    received_us = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["lane", "id"], name="log_note_lane")]


class EvaluationProgress(models.Model):
    """Up to where a sensor's samples were evaluated; moved by whoever evaluates its lane.

    One row a sensor and none for each rule, because nearly every sample moves this and changes nothing else.
    """

    # Deleted by the database with the sensor (fourth migration), as `RuleState` is.
    sensor = models.OneToOneField(
        Sensor, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+"
    )
    # By attribute the newest evaluated sample, in microseconds since 1970: what is not newer changes nothing. Where
    # rules look at how the attribute changes: [time, value].
    newest = models.JSONField()

    class Meta:
        verbose_name_plural = "evaluation progress"


class RuleState(models.Model):
    """How far one rule is with one sensor.

    Of threshold rules what the alert of an open episode does not tell: made, moved and deleted by the evaluation of
    the sensor's lane (where a person resolved it, by that of the next episode). Of staleness and gateway rules: made
    by `match_changes` for every sensor that the rule covers, moved by the sweep. Of log rules: made, moved and deleted
    by the counting of the sensor's messages, while some may still count. Of configuration rules: made and deleted when
    a sensor's newest revision becomes one that is not acknowledged or is no such one any more; moved by the sweep.
    """

    # Deleted by the database with their rule or sensor (second migration): it locks the parent first, as everybody
    # does here; Django would delete the children first and could deadlock with an evaluation.
    rule = models.ForeignKey(
        Rule,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,  # that of the unique constraint serves
        related_name="states",
    )
    sensor = models.ForeignKey(Sensor, on_delete=models.DO_NOTHING, db_constraint=False, related_name="rule_states")

    # Threshold rules: since when every sample of an open episode was inside by at least the hysteresis.
    inside_since = models.DateTimeField(null=True)
    # The newest violating value of the open episode.
    value = models.FloatField(null=True)

    # Silence rules: when to look at this sensor next; empty while it is silent. Never later than the moment at
    # which it may become silent, and moved only when it is due.
    check_at = models.DateTimeField(null=True)
    # Set while the sensor is silent: when it was heard last, or made if it never was.
    silent_since = models.DateTimeField(null=True)
    # Staleness rules: silent, and the alert is still to be opened; held back while the gateway has one.
    waiting = models.BooleanField(default=False)

    # Log and configuration rules: when to look at this sensor next.
    due_at = models.DateTimeField(null=True)
    # Log rules: when the messages that may still count were measured, in microseconds since 1970, oldest first, and
    # the newest message at which there were enough.
    logged = models.JSONField(null=True)
    held_at = models.DateTimeField(null=True)
    # Configuration rules: the newest revision, not acknowledged so far, and whether the sensor refused it. `due_at` is
    # empty once its alert was opened.
    revision = models.IntegerField(null=True)
    refused = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "sensor"], name="one_state_per_rule_and_sensor"),
            models.CheckConstraint(
                condition=Q(waiting=False) | Q(silent_since__isnull=False), name="only_the_silent_wait"
            ),
        ]
        indexes = [
            # Each holds what the sweep must look at and nothing else.
            models.Index(fields=["check_at"], name="rule_state_due", condition=Q(check_at__isnull=False)),
            models.Index(fields=["rule", "sensor"], name="rule_state_silent", condition=Q(silent_since__isnull=False)),
            models.Index(fields=["id"], name="rule_state_waiting", condition=Q(waiting=True)),
            models.Index(fields=["due_at"], name="rule_state_due_at", condition=Q(due_at__isnull=False)),
            models.Index(fields=["id"], name="rule_state_refused", condition=Q(refused=True, due_at__isnull=False)),
        ]


class ScopeChange(models.Model):
    """A sensor or a rule whose matching may have changed. Written by triggers, deleted by `match_changes`.

    of_configuration: the sensor has a new revision or answered one, and nothing else.

    Triggers, because a change must be seen on every path to the tables, and in its own transaction: a watermark
    over `updated_at` misses what commits late, and comparing everything costs what exists. Plain numbers, because
    the row may outlive what it names.
    """

    rule_id = models.BigIntegerField(null=True)
    sensor_id = models.BigIntegerField(null=True)
    of_configuration = models.BooleanField(default=False, db_default=False)


class ConfiguredPeriod(models.Model):
    """How often a sensor is to be heard by its configurations; no row where none of those that count says so.

    Those that count are the revision that it acknowledged last and a newer one that it has not answered yet; the
    longer period holds. Written by `match_changes` alone, after triggers noted a revision or an answer: of writers at
    the same time, each in its own transaction, none would see the other's.
    """

    # Deleted by the database with the sensor, as `RuleState` is.
    sensor = models.OneToOneField(
        Sensor, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+"
    )
    period_s = models.FloatField()
    # One that counts names none: then it is at least the sensor's own period.
    or_own = models.BooleanField()
