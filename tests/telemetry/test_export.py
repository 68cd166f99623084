"""Exports: what is in the file, and the command that writes it."""

import asyncio
import csv
import io
import json
import tracemalloc
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from sensors import services
from sensors.models import Role, Sensor, User
from telemetry import export, queries
from telemetry.export import Format, stream_measurements
from tests.telemetry.rows import T0, make_network, make_sensor, put_measurements

pytestmark = pytest.mark.usefixtures("committed")


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def exported(sensors: Sequence[Sensor], **options: Any) -> str:
    async def collect() -> bytes:
        return b"".join([data async for data, _ in stream_measurements(sensors, **options)])

    return asyncio.run(collect()).decode()


def table(sensor: Sensor, **options: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(exported([sensor], form=Format.CSV, **options))))


def objects(sensor: Sensor, **options: Any) -> list[Any]:
    return [json.loads(line) for line in exported([sensor], form=Format.NDJSON, **options).splitlines()]


def test_csv_has_a_column_for_each_attribute_that_occurs() -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(at(1), {"t": 20.5, "on": True}), (at(0.25), {"t": 21, "note": "a,b"})], revision=2)
    put_measurements(sensor, [(at(2), {"on": False, "t": None})])

    assert exported([sensor], form=Format.CSV) == (
        "measured_at,received_at,revision,note,on,t\r\n"
        '2026-03-01T12:00:00.250000Z,2026-03-01T12:00:00Z,2,"a,b",,21\r\n'
        "2026-03-01T12:00:01Z,2026-03-01T12:00:00Z,2,,true,20.5\r\n"
        "2026-03-01T12:00:02Z,2026-03-01T12:00:00Z,0,,false,\r\n"
    )


def test_ndjson_is_an_object_a_line_as_over_rest() -> None:
    sensor = make_sensor()
    values = [{"t": 20.5}, {"s": 'quote " and \n newline'}, {}, {"big": 2.5e20, "none": None}]
    put_measurements(sensor, [(at(number), value) for number, value in enumerate(values)], revision=3)

    found = objects(sensor)

    assert found == [
        {
            "measured_at": f"2026-03-01T12:00:0{number}Z",
            "received_at": "2026-03-01T12:00:00Z",
            "revision": 3,
            "value": value,
        }
        for number, value in enumerate(values)
    ]


def test_a_range_and_named_attributes_limit_it() -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(at(number), {"a": number, "b": -number, "c": "x"}) for number in range(4)])

    assert table(sensor, start=at(1), end=at(3), attributes=["b", "never", "a"]) == [
        ["measured_at", "received_at", "revision", "b", "never", "a"],
        ["2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z", "0", "-1", "", "1"],
        ["2026-03-01T12:00:02Z", "2026-03-01T12:00:00Z", "0", "-2", "", "2"],
    ]
    assert [row["value"] for row in objects(sensor, end=at(2), attributes=["a", "never"])] == [{"a": 0}, {"a": 1}]
    assert [row["value"] for row in objects(sensor, end=at(1), attributes=["never"])] == [{}]


def test_columns_are_those_of_the_range() -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(at(0), {"a": 1}), (at(10), {"b": 1})])

    assert table(sensor, start=at(5))[0] == ["measured_at", "received_at", "revision", "b"]


def test_nothing_stored_is_a_header_alone() -> None:
    sensor = make_sensor()

    assert table(sensor) == [["measured_at", "received_at", "revision"]]
    assert objects(sensor) == []


def test_no_text_of_a_sensor_becomes_a_formula() -> None:
    sensor = make_sensor()
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "a=1", "'=1", "-"]
    value = {f"k{number}": text for number, text in enumerate(texts)} | {"=cmd()": -5, "n": -1.5}
    put_measurements(sensor, [(at(0), value)])

    header, row = table(sensor)
    found = dict(zip(header, row, strict=True))

    assert [found[f"k{number}"] for number in range(len(texts))] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "'\tx",
        "'\rx",
        "'\nx",
        "a=1",
        "'=1",
        "'-",
    ]
    # A header is a text of the sensor too; numbers stay numbers.
    assert (found["'=cmd()"], found["n"]) == ("-5", "-1.5")
    # NDJSON is for programs and has everything as it came.
    assert [row["value"] for row in objects(sensor)] == [value]


def test_it_holds_every_row_over_chunks_and_months_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_PER_CHUNK", 7)
    sensor = make_sensor()
    put_measurements(sensor, [(at(86_400 * number), {"n": number}) for number in range(100)])
    put_measurements(sensor, [(at(0), {"n": -number}) for number in range(1, 20)])

    found = objects(sensor)

    assert sorted(row["value"]["n"] for row in found) == list(range(-19, 100))
    assert [row["measured_at"] for row in found] == sorted(row["measured_at"] for row in found)
    # The same order as the list's, from its other end.
    listed = [row.value["n"] for row in queries.measurements_of(sensor)]
    assert [row["value"]["n"] for row in found] == listed[::-1]


def test_what_comes_during_an_export_is_not_in_it() -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(at(number), {"n": number}) for number in range(3)])

    def put_one_more() -> None:
        put_measurements(sensor, [(at(9), {"new": 1})])
        connection.close()

    async def collect() -> list[bytes]:
        stream = stream_measurements([sensor], form=Format.CSV)
        chunks = [await anext(stream)]
        await asyncio.to_thread(put_one_more)
        return [data for data, _ in [*chunks, *[chunk async for chunk in stream]]]

    lines = b"".join(asyncio.run(collect())).decode().splitlines()

    assert lines[0] == "measured_at,received_at,revision,n"
    assert len(lines) == 4


def test_no_connection_stays_behind_whatever_ends_an_export(other: psycopg.Connection) -> None:
    other.autocommit = True
    sensor = make_sensor()
    put_measurements(sensor, [(at(number), {"n": number}) for number in range(600)])

    def left() -> int:
        row = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%FETCH%export%'"
        ).fetchone()
        assert row is not None
        return int(row[0]) - 1

    async def close_early() -> None:
        stream = stream_measurements([sensor], form=Format.NDJSON)
        await anext(stream)
        assert left() == 1
        await stream.aclose()

    async def fail() -> None:
        async for _ in stream_measurements([sensor], form=Format.NDJSON):
            raise RuntimeError

    async def cancel() -> None:
        async def read() -> None:
            async for _ in stream_measurements([sensor], form=Format.NDJSON):
                await asyncio.sleep(60)

        task = asyncio.create_task(read())
        while left() == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(close_early())
    assert left() == 0
    with pytest.raises(RuntimeError):
        asyncio.run(fail())
    assert left() == 0
    asyncio.run(cancel())
    assert left() == 0


def test_only_so_many_run_at_once_and_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MAX_AT_ONCE", 2)
    sensor = make_sensor()
    put_measurements(sensor, [(at(0), {"n": 1})])

    async def run() -> None:
        first, second, third = (stream_measurements([sensor], form=Format.NDJSON) for _ in range(3))
        await anext(first)
        await anext(second)
        waiting = asyncio.ensure_future(anext(third))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        await first.aclose()
        data, rows = await asyncio.wait_for(waiting, 5)
        assert (rows, json.loads(data)["value"]) == (1, {"n": 1})
        await second.aclose()
        await third.aclose()

    asyncio.run(run())


# --- Over HTTP, without a server (with one: test_export_stream.py) ------------------------------


def caller_of(sensor: Sensor) -> dict[str, str]:
    user = User.objects.create_user(f"viewer-of-{sensor.identifier}")
    services.set_member(sensor.network, user=user, role=Role.VIEWER)
    _, secret = services.create_token(user, name="test", days=1)
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
def test_the_answer_is_named_and_typed_whatever_is_accepted() -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(at(0), {"n": 1}), (at(9), {"m": 2})])
    client, headers = Client(), caller_of(sensor)
    address = f"/api/v1/sensors/{sensor.identifier}/measurements/export/"

    answer = client.get(f"{address}?format=csv&end=2026-03-01T12:00:09Z", headers={**headers, "Accept": "text/csv"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{sensor.identifier}-measurements.csv"'
    assert b"".join(answer).decode().splitlines()[1:] == ["2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,0,1"]

    answer = client.get(f"{address}?format=ndjson&attribute=m", headers={**headers, "Accept": "application/x-ndjson"})
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line)["value"] for line in b"".join(answer).splitlines()] == [{}, {"m": 2}]

    head = client.head(address, headers=headers)
    assert (head.status_code, head.content, head.headers["Content-Type"]) == (200, b"", "text/csv; charset=utf-8")


# --- The command ---------------------------------------------------------------------------------


def test_the_command_writes_networks_and_sensors_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = make_network()
    first, second = sorted((make_sensor(network), make_sensor(network)), key=lambda sensor: sensor.identifier)
    third = make_sensor()
    for number, sensor in enumerate((first, second, third)):
        put_measurements(sensor, [(at(0), {f"a{number}": number}), (at(60), {"b": number})])
    path = tmp_path / "all.csv"

    call_command("export_measurements", network=[network.slug], sensor=[first.identifier], output=str(path))

    assert path.read_text().splitlines() == [
        "sensor,measured_at,received_at,revision,a0,a1,b",
        f"{first.identifier},2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,0,0,,",
        f"{first.identifier},2026-03-01T12:01:00Z,2026-03-01T12:00:00Z,0,,,0",
        f"{second.identifier},2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,0,,1,",
        f"{second.identifier},2026-03-01T12:01:00Z,2026-03-01T12:00:00Z,0,,,1",
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["all.csv"]
    assert capsys.readouterr().err == "4 measurements of 2 sensors were written.\n"

    arguments = ["--sensor", third.identifier, "--format", "ndjson", "--start", "2026-03-01T13:00:30+01:00"]
    call_command("export_measurements", *arguments, "--output", str(path))

    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "sensor": third.identifier,
            "measured_at": "2026-03-01T12:01:00Z",
            "received_at": "2026-03-01T12:00:00Z",
            "revision": 0,
            "value": {"b": 2},
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "--sensor IDENTIFIER or --network SLUG"),
        (["--sensor", "never-made"], "There is no sensor never-made."),
        (["--network", "never-made"], "There is no sensor in never-made."),
        (["--sensor", "x", "--start", "2026-03-01"], "does not say its time zone"),
        (
            ["--sensor", "x", "--start", "2026-03-01T12:00:00Z", "--end", "2026-03-01T12:00:00Z"],
            "--end must be after --start",
        ),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], part: str) -> None:
    with pytest.raises(CommandError, match=part):
        call_command("export_measurements", *arguments)


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(at(number), {"n": number}) for number in range(600)])
    path = tmp_path / "all.csv"
    path.write_text("yesterday's")
    lines = export._CsvWriter.lines

    def fail_at_the_second_chunk(self: Any, rows: Any, identifier: str | None) -> bytes:
        if len(rows) < export.ROWS_PER_CHUNK:
            raise psycopg.OperationalError("gone")
        return lines(self, rows, identifier)

    monkeypatch.setattr(export._CsvWriter, "lines", fail_at_the_second_chunk)

    with pytest.raises(psycopg.OperationalError):
        call_command("export_measurements", "--sensor", sensor.identifier, "--output", str(path))

    assert path.read_text() == "yesterday's"


def test_an_export_takes_constant_memory() -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(at(0), {"n": 0})])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO telemetry_measurement SELECT %s, '2026-03-02'::timestamptz + n * interval '1 second', n,"
            " now(), 0, jsonb_build_object('n', n, 'text', repeat('x', 500)) FROM generate_series(1, 30000) n",
            [sensor.pk],
        )

    async def read() -> tuple[int, int]:
        size = rows = 0
        async for data, number in stream_measurements([sensor], form=Format.CSV):
            size, rows = size + len(data), rows + number
        return size, rows

    tracemalloc.start()
    try:
        size, rows = asyncio.run(read())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (rows, size > 16_000_000) == (30_001, True)
    assert peak < 4_000_000
