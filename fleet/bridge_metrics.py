"""What the bridges' ticks say, as Prometheus' counters, gauges and histograms with the label `shard`."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from fleet.ingest.meters import ANSWER_S, BATCH_MESSAGES, COMMIT_S, LAG_S
from fleet.ticks import Tick

# Key of the tick's detail, metric (a counter gets its _total), help.
GAUGES: Final = (
    ("started_at", "fleet_bridge_start_time_seconds", "When the bridge was started, in seconds since 1970."),
    ("connected", "fleet_bridge_connected", "Whether the bridge is connected to the broker."),
    ("queue", "fleet_ingest_queue_messages", "Messages that wait in the bridge for its writer."),
    ("queue_high_water", "fleet_ingest_queue_high_water_messages", "The most that waited within the last minute."),
    ("queue_limit", "fleet_ingest_queue_limit_messages", "How many may wait before the broker keeps the rest."),
)
COUNTERS: Final = (
    ("received", "fleet_ingest_received_messages", "Messages taken from the broker for this shard."),
    ("received_bytes", "fleet_ingest_received_bytes", "Bytes of their payloads."),
    ("passed_over", "fleet_ingest_passed_over_messages", "Messages that are for other shards to store."),
    ("stored", "fleet_ingest_stored_entries", "Heartbeats, log messages and measurements stored."),
    ("duplicates", "fleet_ingest_duplicate_entries", "Entries that were stored already: redelivered or repeated."),
    ("failures", "fleet_ingest_storage_failures", "Attempts to store a batch that the database refused."),
    ("callback_failures", "fleet_bridge_callback_failures", "Errors in the bridge's receiver; each is a bug."),
    ("lost_hints", "fleet_bridge_lost_hints", "Hints to the worker that were dropped; costs a delay only."),
    (
        "broker_dropped",
        "fleet_broker_dropped_messages",
        "Messages that the broker says it dropped, for whichever client: a loss.",
    ),
    ("refused_logins", "fleet_mqtt_refused_logins", "Logins that the broker says it refused."),
)
LABELLED: Final = (
    ("messages", "family", "fleet_ingest_messages", "Messages whose batch was committed."),
    ("rejected", "reason", "fleet_ingest_rejected", "Messages and entries that were refused."),
)
HISTOGRAMS: Final = (
    ("batch_messages", BATCH_MESSAGES, "fleet_ingest_batch_messages", "Messages stored in one transaction."),
    ("commit_s", COMMIT_S, "fleet_ingest_commit_seconds", "Time from taking a batch up to its commit."),
    ("lag_s", LAG_S, "fleet_ingest_lag_seconds", "Time from receiving a message to the commit that stored it."),
)


def bridge_metrics(bridges: Sequence[Tick]) -> Iterator[Metric]:
    """Yield what the ticks of the current bridges say; what one does not say, or not in this form, is left out."""
    for key, name, text in GAUGES:
        yield gauge(name, text, ["shard"], _numbers(bridges, key))
    for key, name, text in COUNTERS:
        counter = CounterMetricFamily(name, text, labels=["shard"])
        for labels, number in _numbers(bridges, key).items():
            counter.add_metric(labels, number)
        yield counter
    for key, label, name, text in LABELLED:
        counter = CounterMetricFamily(name, text, labels=["shard", label])
        for tick in bridges:
            for value, number in _items(tick.detail.get(key)):
                if isinstance(number, int):
                    counter.add_metric([tick.shard, value], number)
        yield counter
    for key, bounds, name, text in HISTOGRAMS:
        histogram = HistogramMetricFamily(name, text, labels=["shard"])
        for tick in bridges:
            _add(histogram, [tick.shard], bounds, tick.detail.get(key))
        yield histogram
    answers = HistogramMetricFamily(
        "fleet_configuration_answer_seconds",
        "Time from the broker's confirmation of a revision to the sensor's answer.",
        labels=["shard", "outcome"],
    )
    for tick in bridges:
        for outcome, counted in _items(tick.detail.get("answer_s")):
            _add(answers, [tick.shard, outcome], ANSWER_S, counted)
    yield answers


def gauge(
    name: str,
    text: str,
    labels: list[str] | None = None,
    values: Mapping[tuple[str, ...], float] | None = None,
    *,
    value: float | None = None,
) -> GaugeMetricFamily:
    """Return a gauge with one `value`, or with `values` by their labels."""
    family = GaugeMetricFamily(name, text, labels=labels or [])
    if value is not None:
        family.add_metric([], value)
    for label_values, number in (values or {}).items():
        family.add_metric(label_values, number)
    return family


def _numbers(bridges: Sequence[Tick], key: str) -> dict[tuple[str, ...], float]:
    numbers = {(tick.shard,): tick.number(key) for tick in bridges}
    return {labels: number for labels, number in numbers.items() if number is not None}


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _add(family: HistogramMetricFamily, labels: list[str], bounds: Sequence[float], counted: Any) -> None:
    """Add one histogram of a tick; one of another release, with other buckets, is left out until its next tick."""
    if not isinstance(counted, dict) or len(counted.get("counts", ())) != len(bounds) + 1:
        return
    edges = [*(str(float(bound)) for bound in bounds), "+Inf"]
    cumulative = accumulate(counted["counts"])
    family.add_metric(labels, list(zip(edges, cumulative, strict=True)), counted["sum"])
