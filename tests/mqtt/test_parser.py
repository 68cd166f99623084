"""The parser: in order, ahead of the writer, and never far ahead."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from fleet.ingest.routes import InboundMessage
from fleet.mqtt.inbox import Delivery, Inbox
from fleet.mqtt.parser import BATCH_BYTES, BATCH_MESSAGES, PIECE_BYTES, PIECE_MESSAGES, Parsed, Parser
from sensors.wire import Reason
from tests.waiting import wait_until

MARKER = "fleet/watermark/test"
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def delivery(number: int, *, topic: str = "measurements/s-1", size: int = 0) -> Delivery:
    entry = {"revision": 0, "timestamp": NOW.timestamp(), "value": {"n": number, "text": "x" * size}}
    payload = json.dumps({"measurements": [entry]}).encode()
    return Delivery(InboundMessage(topic, payload, NOW), packet_id=number, qos=1, epoch=1)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox(max_messages=100_000, max_bytes=1 << 30)
    yield inbox
    inbox.close()


@pytest.fixture
def parser(inbox: Inbox) -> Iterator[Parser]:
    parser = Parser(inbox, marker_topic=MARKER)
    parser.start()
    yield parser
    parser.stop()
    wait_until(lambda: not parser.is_running(), 10, "the parser to end")


def packet_ids(batch: list[Parsed]) -> list[int]:
    return [each.delivery.packet_id for each in batch]


def test_everything_comes_out_once_and_in_order(inbox: Inbox, parser: Parser) -> None:
    total = 3 * BATCH_MESSAGES + 7
    inbox.put([delivery(1)])
    inbox.put([delivery(number) for number in range(2, total + 1)])
    taken: list[int] = []
    while len(taken) < total:
        batch = parser.take(timeout_s=10)
        assert 0 < len(batch) < BATCH_MESSAGES + PIECE_MESSAGES
        taken += packet_ids(batch)

    assert taken == list(range(1, total + 1))
    assert parser.take(timeout_s=0) == []


def test_it_runs_ahead_of_the_writer_by_one_batch_and_no_further(inbox: Inbox, parser: Parser) -> None:
    inbox.put([delivery(number) for number in range(1, 5_001)])

    wait_until(lambda: len(parser) >= BATCH_MESSAGES, 10, "a batch to be parsed")
    assert len(parser) + len(inbox) == 5_000
    assert len(parser) < BATCH_MESSAGES + PIECE_MESSAGES


def test_large_messages_are_bounded_by_their_bytes(inbox: Inbox, parser: Parser) -> None:
    size = PIECE_BYTES // 2
    inbox.put([delivery(number, size=size) for number in range(1, 201)])

    batch = wait_until(lambda: len(parser) * size >= BATCH_BYTES and parser.take(timeout_s=10), 10, "a batch")

    assert len(batch) * size < BATCH_BYTES + 2 * PIECE_BYTES


def test_a_marker_keeps_its_place_and_brings_nothing(inbox: Inbox, parser: Parser) -> None:
    inbox.put([delivery(1), delivery(2, topic=MARKER), delivery(3)])
    batch: list[Parsed] = []
    while len(batch) < 3:
        batch += parser.take(timeout_s=10)

    assert packet_ids(batch) == [1, 2, 3]
    assert [each.part is None for each in batch] == [False, True, False]


def test_garbage_comes_out_as_refused_and_ends_nothing(inbox: Inbox, parser: Parser) -> None:
    garbage = [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"measurements":' + b"[" * 5_000,
        b"null",
        b'{"measurements":[1e999]}',
    ]
    inbox.put([Delivery(InboundMessage("measurements/s-1", each, NOW), 1, 1, 1) for each in garbage])
    inbox.put([delivery(2)])
    batch: list[Parsed] = []
    while len(batch) < len(garbage) + 1:
        batch += parser.take(timeout_s=10)

    parts = [each.part for each in batch]
    assert parts[-1] is not None
    assert len(parts[-1].entries) == 1
    refused = [part for part in parts[:-1] if part is not None and (part.error or part.refused)]
    assert len(refused) == len(garbage)
    assert refused[0].error is not None
    assert refused[0].error.code == Reason.MALFORMED_JSON
    assert parser.is_running()
