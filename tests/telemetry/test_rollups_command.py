"""`manage.py roll_up` and the task that rolls up."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from sensors.models import Sensor
from telemetry import tasks
from telemetry.models import RollupState
from tests.telemetry.rolling import HOUR, rolled, store, stored, summed
from tests.telemetry.rows import T0, make_sensor, put_measurements

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_horizon")]
MINUTE = timedelta(minutes=1)


def command(*arguments: str) -> str:
    output = io.StringIO()
    call_command("roll_up", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_rolls_up_everything_and_says_what(sensor: Sensor) -> None:
    put_measurements(sensor, [(T0 - hours * HOUR, {"t": 1}) for hours in (1, 2, 3)])

    assert command() == "3 hours with 3 measurements were rolled up, 0 again.\n"
    store(sensor, [(T0 - 2 * HOUR + MINUTE, {"t": 1})])
    answer = json.loads(command("--json"))
    assert (answer["hours"], answer["again"], answer["left"]) == (0, 1, {"sensors": 0, "hours": 0})
    assert rolled(sensor) == summed(stored(sensor))


def test_the_command_makes_the_rollups_of_a_sensor_again(sensor: Sensor) -> None:
    other = make_sensor()
    for each in (sensor, other):
        put_measurements(each, [(T0 - hours * HOUR, {"t": 1}) for hours in (1, 2, 3)])
    command()

    answer = json.loads(command("--rebuild", sensor.identifier, "--json"))

    assert answer["hours"] == 3
    assert rolled(sensor) == rolled(other) == summed(stored(sensor))


def test_the_command_refuses_a_sensor_that_there_is_not(sensor: Sensor) -> None:
    with pytest.raises(CommandError, match="There is no sensor nobody; nothing was done"):
        command("--rebuild", sensor.identifier, "nobody")

    assert not RollupState.objects.exists()


def test_the_task_rolls_up(sensor: Sensor) -> None:
    put_measurements(sensor, [(T0 - HOUR, {"t": 1})])

    tasks.roll_up_telemetry()

    assert rolled(sensor) == summed(stored(sensor))
