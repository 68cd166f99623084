"""What a bridge counts of its work."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from config.models import RevisionState
from config.services import RevisionChange
from fleet.ingest.meters import ANSWER_S, BATCH_MESSAGES, COMMIT_S, LAG_S, Histogram, Meters
from fleet.ingest.recent import FIELDS, KEPT, STEP_S, quantile
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def messages(*lags_s: float, topic: str = "measurements/s") -> list[InboundMessage]:
    """Return messages that wait for so long at NOW, oldest first."""
    return [InboundMessage(topic, b"{}", NOW - timedelta(seconds=lag_s)) for lag_s in sorted(lags_s, reverse=True)]


def meters() -> Meters:
    return Meters(started_at=NOW - timedelta(hours=1))


def detail(counted: Meters, *, after_s: float = 0.0) -> dict:
    """Return the detail as the database gives it back."""
    made = counted.detail(now=NOW + timedelta(seconds=after_s), now_s=after_s)
    return json.loads(msgspec.json.encode(made))


def filled(bounds: tuple[float, ...], histogram: dict) -> dict[float | None, int]:
    """Return the counts of the buckets that are not empty, by their upper bound; None: beyond the last."""
    assert len(histogram["counts"]) == len(bounds) + 1
    return {bound: n for bound, n in zip((*bounds, None), histogram["counts"], strict=True) if n}


def test_a_value_at_a_bound_belongs_to_its_bucket_as_in_prometheus():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.detail() == {"counts": [2, 2, 1], "sum": 7.5}


def test_batches_add_up():
    counted = meters()
    counted.stored(
        BatchResult(stored=7, duplicates=1, rejected={"schema": 2}),
        [*messages(0.004), *messages(0.003, topic="heartbeats/s")],
        took_s=0.004,
        committed_at=NOW,
    )
    counted.stored(
        BatchResult(stored=1, rejected={"schema": 1, "not_flat": 1}),
        messages(0.001, topic="log-messages/a/b"),
        took_s=0.2,
        committed_at=NOW,
    )
    told = detail(counted)
    assert told["messages"] == {"heartbeats": 1, "log-messages": 1, "measurements": 1}
    assert (told["stored"], told["duplicates"], told["rejected"]) == (8, 1, {"schema": 3, "not_flat": 1})
    assert filled(BATCH_MESSAGES, told["batch_messages"]) == {1: 1, 2: 1}
    assert filled(COMMIT_S, told["commit_s"]) == {0.005: 1, 0.25: 1}
    assert told["commit_s"]["sum"] == pytest.approx(0.204)
    assert told["started_at"] == (NOW - timedelta(hours=1)).timestamp()


def test_every_messages_lag_is_in_its_bucket_and_in_the_sum():
    lags_s = [0.0, 0.001, 0.0025, 0.0026, 0.02, 0.02, 4.9, 5.0, 5.1, 300.0, 301.0, 86_400.0]
    counted = meters()
    counted.stored(BatchResult(), messages(*lags_s), took_s=0.01, committed_at=NOW)
    singly = Histogram(LAG_S)
    for lag_s in lags_s:
        singly.observe(lag_s)
    told = detail(counted)["lag_s"]
    assert told["counts"] == singly.counts
    assert told["sum"] == pytest.approx(sum(lags_s))


def test_a_clock_that_was_set_back_costs_no_count():
    counted = meters()
    counted.stored(BatchResult(), messages(-3.0, 0.001), took_s=0.01, committed_at=NOW)
    assert filled(LAG_S, detail(counted)["lag_s"]) == {0.0025: 2}


def test_a_batch_of_markers_only_is_none():
    counted = meters()
    counted.stored(BatchResult(), [], took_s=0.01, committed_at=NOW)
    told = detail(counted)
    assert sum(told["batch_messages"]["counts"]) == sum(told["commit_s"]["counts"]) == 0


def test_a_refusal_of_the_database_lasts_until_a_batch_is_stored():
    counted = meters()
    counted.failed(now=NOW)
    counted.failed(now=NOW + timedelta(seconds=2))
    assert detail(counted)["failing_since"] == NOW.timestamp()
    counted.stored(BatchResult(), [], took_s=0.01, committed_at=NOW)
    told = detail(counted)
    assert (told["failing_since"], told["failures"]) == (None, 2)


def test_answers_are_counted_by_their_outcome():
    def change(state: RevisionState, answer_s: float | None) -> RevisionChange:
        return RevisionChange(1, 1, "net", "s", 0, state, answer_s)

    counted = meters()
    counted.answered(
        [
            change(RevisionState.ACKNOWLEDGED, 0.2),
            change(RevisionState.ACKNOWLEDGED, 100_000.0),
            change(RevisionState.FAILED, 3.0),
            change(RevisionState.PUBLISHED, None),
        ]
    )
    told = detail(counted)["answer_s"]
    assert filled(ANSWER_S, told["success"]) == {0.25: 1, None: 1}
    assert filled(ANSWER_S, told["failure"]) == {5.0: 1}


def test_the_high_water_mark_is_that_of_the_last_minute():
    counted = meters()
    for now_s, waiting in ((0.0, 500), (10.0, 2_000), (20.0, 3), (65.0, 40), (66.0, 7)):
        counted.took(waiting=waiting, now_s=now_s)
    assert detail(counted, after_s=66.0)["queue_high_water"] == 2_000
    assert detail(counted, after_s=71.0)["queue_high_water"] == 40
    assert detail(counted, after_s=125.5)["queue_high_water"] == 7
    assert detail(counted, after_s=200.0)["queue_high_water"] == 0


def test_the_last_minutes_are_told_with_the_sample_that_is_still_growing():
    counted = meters()
    assert len(detail(counted)["recent"]["samples"]) == 1
    for step in range(1, 8):
        counted.received += 30
        counted.took(waiting=step, now_s=float(step))
        counted.stored(BatchResult(stored=20), messages(0.004), took_s=0.004, committed_at=NOW)
        told = detail(counted, after_s=2.0 * step)["recent"]
    # After ten seconds a sample is whole; the next one has grown for four.
    assert [sample[FIELDS.index("at")] - NOW.timestamp() for sample in told["samples"]] == [10.0, 14.0]
    whole, growing = (dict(zip(FIELDS, sample, strict=True)) for sample in told["samples"])
    assert (whole["received"], whole["stored"], whole["queue"]) == (15.0, 10.0, 5)
    assert (growing["received"], growing["stored"], growing["queue"]) == (15.0, 10.0, 7)
    assert 0.0025 < whole["lag_p50"] < whole["lag_p99"] <= 0.005
    assert (told["window"]["seconds"], told["window"]["received"]) == (14.0, 15.0)


def test_only_five_minutes_are_kept_and_the_figures_are_of_one():
    counted = meters()
    for step in range(100):
        counted.received += 100 if step < 90 else 0
        told = detail(counted, after_s=STEP_S * step)
    assert len(told["recent"]["samples"]) == KEPT + 1
    assert told["recent"]["window"] == {
        "seconds": 60.0,
        "received": 0.0,
        "stored": 0.0,
        "duplicates": 0.0,
        "rejected": 0.0,
        "lag_p50": None,
        "lag_p99": None,
        "commit_p50": None,
        "commit_p99": None,
    }


def test_the_tick_stays_small_enough_for_its_row():
    counted = meters()
    for step in range(60):
        counted.received += 123_456
        counted.stored(BatchResult(stored=123_456), messages(0.0123), took_s=0.0456, committed_at=NOW)
        told = detail(counted, after_s=STEP_S * step)
    assert len(json.dumps(told)) < 4_000


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.5),
        ([0, 10, 0], 0.5, 1.5),
        ([5, 5, 0], 0.5, 1.0),
        ([5, 5, 0], 0.75, 1.5),
        ([0, 0, 7], 0.5, 2.0),
    ],
)
def test_quantiles_are_those_of_prometheus(counts, share, expected):
    assert quantile((1.0, 2.0), counts, share) == expected
