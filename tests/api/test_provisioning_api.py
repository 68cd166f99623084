"""Many sensors at once: each row stands alone."""

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from sensors import services
from sensors.models import AuditEntry, Sensor, SensorCredential
from sensors.services.credentials import hashed_secrets

CSV = """identifier,name,gateway,period_s,label:floor
good-1,Boiler one,the-gateway,30,2
good-1,twice,,,
bad one,,,,
good-2,,,,
long-period,,,soon,
no-gateway,,elsewhere,,
"""


@pytest.fixture
def plant(world):
    services.create_gateway(world.network, identifier="the-gateway")
    return world


def path(world, **parameters):
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"networks/{world.network.slug}/sensors/" + (f"?{query}" if query else "")


def test_a_bad_row_costs_only_itself(plant):
    answer = plant.operator.post(path(plant), CSV, content_type="text/csv")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["created"], body["refused"]) == (2, 4)
    assert [(row["row"], row["identifier"], list(row["errors"] or [])) for row in body["results"]] == [
        (1, "good-1", []),
        (2, "good-1", ["identifier"]),
        (3, "bad one", ["identifier"]),
        (4, "good-2", []),
        (5, "long-period", ["period_s"]),
        (6, "no-gateway", ["gateway"]),
    ]
    made = Sensor.objects.get(identifier="good-1")
    assert (made.name, made.gateway.identifier, made.period_s, made.labels) == (
        "Boiler one", "the-gateway", 30, {"floor": "2"}
    )  # fmt: skip
    assert Sensor.objects.filter(network=plant.network).count() == 2
    assert not SensorCredential.objects.exists()


def test_credentials_come_with_them_once(plant):
    rows = [{"identifier": "one"}, {"identifier": "sensor"}, {"identifier": "two", "labels": {"a": 1}}, "nonsense"]
    answer = plant.operator.post(path(plant, credentials="true"), {"sensors": rows})
    results = answer.json()["results"]
    assert [row["created"] for row in results] == [True, False, True, False]
    for row in (results[0], results[2]):
        assert hashed_secrets()[row["identifier"]].matches(row["credential"]["password"])
    assert hashed_secrets().keys() == {"one", "two"}
    assert not Sensor.objects.filter(identifier="sensor").exists()


def test_each_is_in_the_history_with_who_made_it(plant):
    plant.operator.post(path(plant), {"sensors": [{"identifier": "one"}]})
    entry = AuditEntry.objects.get_for_object(Sensor.objects.get(identifier="one")).get()
    assert (entry.action, entry.actor) == (AuditEntry.Action.CREATE, plant.operator.user)


def test_a_row_costs_the_same_however_many_there_are(plant, django_assert_max_num_queries):
    rows = [{"identifier": f"cheap-{number}"} for number in range(50)]
    # A savepoint within another, the sensor, its entry in the history, and what all rows share.
    with django_assert_max_num_queries(50 * 6 + 20):
        plant.operator.post(path(plant), {"sensors": rows})


def test_a_row_with_more_cells_than_the_head_is_refused(plant):
    body = plant.operator.post(path(plant), "identifier\none,extra\n", content_type="text/csv").json()
    assert [list(row["errors"]) for row in body["results"]] == [["beyond the head"]]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("name\nx\n", "text/csv", 400),
        ("identifier,colour\nx,red\n", "text/csv", 400),
        ("", "text/csv", 400),
        ('identifier\n"x', "text/csv", 400),
        (b"identifier\n\xff\n", "text/csv", 400),
        ({"sensors": []}, "application/json", 400),
        ({"rows": [1]}, "application/json", 400),
        ({"sensors": {"identifier": "x"}}, "application/json", 400),
    ],
)
def test_what_is_no_list_of_sensors_is_refused_as_a_whole(plant, body, content_type, status):
    answer = plant.operator.post(path(plant), body, content_type=content_type)
    assert answer.status_code == status, answer.content
    assert not Sensor.objects.filter(network=plant.network).exists()


def test_more_rows_than_one_transaction_takes_are_all_made(plant):
    rows = [{"identifier": f"many-{number}"} for number in range(250)]
    body = plant.operator.post(path(plant, credentials="true"), {"sensors": rows}).json()
    assert (body["created"], SensorCredential.objects.count()) == (250, 250)


# --- manage.py import_sensors ---------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_sensors", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_reads_both_forms(plant, tmp_path: Path):
    table = tmp_path / "sensors.csv"
    table.write_text("identifier,name\na,First\nb,\n")
    out, err = run(str(table), "--network", plant.network.slug, "--credentials")
    assert [line.split()[0] for line in out.splitlines()] == ["a", "b"]
    assert hashed_secrets()["a"].matches(out.split()[1])
    assert "2 sensors were made" in err
    listed = tmp_path / "sensors.json"
    listed.write_text(json.dumps([{"identifier": "c"}]))
    [row] = json.loads(run(str(listed), "--network", plant.network.slug, "--json")[0])
    assert (row["identifier"], row["created"]) == ("c", True)


def test_the_command_ends_with_1_if_a_row_was_refused(plant, tmp_path: Path):
    table = tmp_path / "sensors.csv"
    table.write_text("identifier\ngood\nbad one\n")
    with pytest.raises(SystemExit) as end:
        run(str(table), "--network", plant.network.slug)
    assert end.value.code == 1
    assert Sensor.objects.filter(identifier="good").exists()
    with pytest.raises(CommandError, match="no network"):
        run(str(table), "--network", "nowhere")
    with pytest.raises(CommandError, match="cannot be read"):
        run(str(tmp_path / "missing.csv"), "--network", plant.network.slug)
