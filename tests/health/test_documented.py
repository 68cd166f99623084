"""docs/metrics.md and the alerting rules against what `/metrics` really has."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.core import Metric

from config.models import RevisionState
from config.services import RevisionChange
from fleet import consumers, metrics
from fleet.ingest.meters import Meters
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage
from sensors.activity import record_tick, record_watermark
from sensors.broker import logins
from telemetry.models import RejectedMessage
from tests.api.callers import make_network

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROW = re.compile(r"^\| `(fleet_\w+)` \| (\w+) \|([\w, ]*)\|", re.MULTILINE)
NAME = re.compile(r"\bfleet_[a-z_]+\b")
PARTS_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")

pytestmark = pytest.mark.django_db


def full_detail(now: datetime) -> dict[str, Any]:
    """Return what a bridge's tick says that has met everything."""
    meters = Meters(started_at=now)
    message = InboundMessage("measurements/s", b"{}", now)
    meters.stored(BatchResult(stored=1, rejected={"schema": 1}), [message], took_s=0.01, committed_at=now)
    meters.answered(
        [RevisionChange(1, 1, "n", "s", 0, state, 0.5) for state in (RevisionState.ACKNOWLEDGED, RevisionState.FAILED)]
    )
    beside = dict.fromkeys(
        ("queue", "queue_limit", "broker_dropped", "refused_logins", "callback_failures", "lost_hints"), 1
    )
    return meters.detail(now=now, now_s=0.0) | {"connected": True} | beside


@pytest.fixture
def found() -> list[Metric]:
    """Return all metrics of a service in which everything has happened once."""
    now = datetime.now(UTC)
    make_network()
    record_tick("bridge 0/1", now=now, detail=full_detail(now))
    record_watermark("0/1", drained_until=now)
    RejectedMessage.objects.create(
        topic="t", digest=b"d" * 16, reason="schema", first_at=now, last_at=now, payload=b"", payload_bytes=0
    )
    return [*metrics.FleetCollector().collect(), *own_metrics()]


def own_metrics() -> list[Metric]:
    """Return what a web process counts itself, in which everything has happened once."""
    # With what it serves comes what it counts.
    assert consumers.LiveSocket
    logins.LOGINS.labels(outcome=logins.Verdict.REFUSED.value)
    return [metric for metric in REGISTRY.collect() if metric.name.startswith("fleet_")]


def exposed(metric: Metric) -> str:
    """Return the name as the text format and the documentation have it."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def documented() -> dict[str, tuple[str, set[str]]]:
    """Return type and labels by name, as the tables have them."""
    rows = ROW.findall((DOCS / "metrics.md").read_text())
    assert len(rows) == len({name for name, _, _ in rows})
    return {name: (kind, set(re.findall(r"\w+", labels))) for name, kind, labels in rows}


def test_every_metric_is_documented_and_every_documented_one_is_there(found):
    assert {exposed(metric): metric.type for metric in found} == {
        name: kind for name, (kind, _) in documented().items()
    }


def test_every_metric_has_the_labels_that_are_documented(found):
    told = documented()
    for metric in found:
        # What nothing has happened for yet has no sample: without alerts there are none of any state.
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == told[exposed(metric)][1], sample.name


def test_a_bridge_that_has_met_everything_leaves_no_metric_of_its_own_empty(found):
    assert [
        exposed(metric) for metric in found if not metric.samples and "shard" in documented()[exposed(metric)][1]
    ] == []


def test_names_carry_their_units(found):
    for metric in found:
        assert metric.documentation
        if metric.type == "histogram":
            assert metric.name.endswith(("_seconds", "_messages"))
        # No time in another unit, no share in per cent.
        assert not re.search(r"_(ms|milliseconds|minutes|percent|kb|mb)(_|$)", metric.name)


def names_in(text: str) -> set[str]:
    """Return the documented metrics that `text` speaks of; KeyError for one that there is not."""
    told = documented()
    names = set()
    for name in NAME.findall(text):
        if name not in told:
            suffix = next(suffix for suffix in (*PARTS_OF_HISTOGRAMS, "") if name.endswith(suffix))
            name = name.removesuffix(suffix)  # noqa: PLW2901
            assert told[name][0] == "histogram"
        names.add(name)
    return names


def test_expressions_in_the_documentation_speak_of_metrics_that_there_are():
    expressions = re.findall(r"\| `([^`|]*\[[^`|]*)` \|", (DOCS / "metrics.md").read_text())
    assert len(expressions) >= 5
    assert all(names_in(expression) for expression in expressions)


def test_alerting_rules_speak_of_metrics_that_there_are():
    (group,) = yaml.safe_load((DOCS / "prometheus-rules.yml").read_text())["groups"]
    rules = group["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert names_in(rule["expr"]), rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith((".", "?"))
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


def test_a_tick_of_another_form_costs_only_what_it_does_not_say():
    now = datetime.now(UTC)
    detail = msgspec.to_builtins(full_detail(now))
    detail |= {"lag_s": {"counts": [1, 2], "sum": 3.0}, "commit_s": None, "received": "many", "rejected": 7}
    record_tick("bridge 0/1", now=now, detail=detail)
    samples = {sample.name for metric in metrics.FleetCollector().collect() for sample in metric.samples}
    assert "fleet_ingest_stored_entries_total" in samples
    assert not {"fleet_ingest_lag_seconds_count", "fleet_ingest_commit_seconds_count"} & samples
    assert not {"fleet_ingest_received_messages_total", "fleet_ingest_rejected_total"} & samples
