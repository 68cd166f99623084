from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from fleet.simulator.replay import identifier_from
from fleet.simulator.table import BadRow, Row, Table, TableError

NOW_S = datetime(2024, 6, 1, tzinfo=UTC).timestamp()
FOURTH_S = datetime(2013, 7, 4, tzinfo=UTC).timestamp()


def rows(text: str, **options) -> list[Row | BadRow]:
    return list(Table(text.splitlines(keepends=True), now_s=NOW_S, **options))


def test_times_are_utc_and_numbers_are_numbers():
    assert rows("timestamp,value\n2013-07-04 00:00:00,69.5\n2013-07-04 01:00:00,70\n") == [
        Row(2, FOURTH_S, {"value": 69.5}),
        Row(3, FOURTH_S + 3600, {"value": 70}),
    ]


def test_texts_stay_texts_and_empty_cells_are_left_out():
    [row] = rows("time,a,b,c,d,e,f\n2013-07-04,,NaN,n/a,on,-1e3,007\n")
    assert row.value == {"d": "on", "e": -1000.0, "f": 7}


@pytest.mark.parametrize(
    "text",
    [
        "2013-07-04T00:00:00Z",
        "2013-07-04T02:00:00+02:00",
        "2013/07/04 00:00:00",
        "20130704",
        "1372896000",
        "1372896000.0",
        "1372896000000",
        "1372896000000000",
    ],
)
def test_times_are_understood_in_many_forms(text):
    [row] = rows(f"time,value\n{text},1\n")
    assert row.timestamp_s == FOURTH_S


def test_a_time_format_is_used_when_it_is_given():
    [row] = rows("when,value\n04.07.2013 00:00,1\n", time_column="when", time_format="%d.%m.%Y %H:%M")
    assert row.timestamp_s == FOURTH_S


def test_naive_times_are_in_the_given_zone_and_others_are_not():
    zone = ZoneInfo("Europe/Berlin")
    first, second = rows("time,value\n2013-07-04 02:00,1\n2013-07-04T00:00Z,1\n", time_zone=zone)
    assert first.timestamp_s == second.timestamp_s == FOURTH_S


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("value,timestamp", "timestamp"),
        ("date,Time,value", "Time"),
        ("value,recorded_time", "recorded_time"),
        ("value,DateTime (UTC)", "DateTime (UTC)"),
    ],
)
def test_the_time_column_is_guessed(header, found):
    assert Table([header], now_s=NOW_S).time_column == found


def test_other_delimiters_and_a_byte_order_mark_are_understood():
    for delimiter in ";\t|":
        [row] = rows(f"\ufefftime{delimiter}value\n2013-07-04{delimiter}1\n")
        assert row == Row(2, FOURTH_S, {"value": 1})


def test_bad_rows_are_named_by_line_and_stop_nobody():
    text = (
        "time,value,note\n"
        "2013-07-04,1,good\n"
        "yesterday,2,no time\n"
        "\n"
        "2013-07-04,3\n"
        "1999-12-31,4,too early\n"
        "2033-01-01,5,too late\n"
        "2013-07-04,1e999,too large\n"
        "2013-07-04,6,\x00\n"
        "2013-07-04,7,\udcff\n"
        "2013-07-04,,\n"
        '2013-07-04,8,"two\nlines"\n'
        "2013-07-05,9,good\n"
    )
    read = rows(text)
    assert [row.line for row in read if isinstance(row, Row)] == [2, 13, 14]
    bad = {row.line: row.problem for row in read if isinstance(row, BadRow)}
    assert list(bad) == [3, 5, 6, 7, 8, 9, 10, 11]
    assert "no time" in bad[3]
    assert bad[5] == "has 2 columns where the header has 3"
    assert "2000-01-01" in bad[6]
    assert "5 minutes ahead" in bad[7]
    assert "beyond a double" in bad[8]
    assert "NUL" in bad[9]
    assert bad[10] == "note is not UTF-8 text"
    assert bad[11] == "has no values"


def test_an_unclosed_quote_costs_at_most_a_field_and_not_the_rest():
    text = 'time,value\n2013-07-04,"1\n' + "2013-07-04,2\n" * 20_000
    read = rows(text)
    assert sum(isinstance(row, BadRow) for row in read) >= 1
    assert sum(isinstance(row, Row) for row in read) > 5_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "--time-column"),
        ("time\n2013-07-04\n", "at least one value column"),
        ("time,a,a\n", "two columns"),
        ("time," + ",".join(f"c{n}" for n in range(201)), "201 value columns"),
        ("time,\udcff\n", "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_replayed_says_why(text, problem):
    with pytest.raises(TableError, match=problem):
        rows(text)


def test_a_time_column_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(TableError, match="there are: a, b"):
        rows("a,b\n", time_column="c")


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("ambient_temperature.csv", "ambient_temperature"),
        ("my file (2).csv", "my-file-2"),
        ("_hidden.csv", "hidden"),
        ("ümläut.csv", "ml-ut"),
        ("…csv", "csv"),
        ("---.csv", "replay"),
        ("x" * 80 + ".csv", "x" * 64),
    ],
)
def test_a_files_name_becomes_a_valid_identifier(tmp_path, name, identifier):
    assert identifier_from(tmp_path / name) == identifier
