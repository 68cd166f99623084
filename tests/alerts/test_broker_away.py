"""A real broker that is away, and the bridge that waits for it: nobody's silence but ours."""

from pathlib import Path

import pytest
from django.utils import timezone

from alerts.models import Alert
from alerts.services import sweep
from fleet.stack.mosquitto import MosquittoServer
from sensors.activity import STEADY_GAP_S
from sensors.models import Network, SensorState, Watermark
from tests.alerts.making import make_bridge_rule, make_network, make_sensor, make_staleness
from tests.bridges import BridgeProcess, Client, measurement
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

PERIOD_S = 3


def swept(network: Network, kind: str, state: str) -> Alert | None:
    """Sweep, and return the network's alert of a rule of this kind in this state."""
    sweep(now=timezone.now())
    return Alert.objects.filter(network=network, rule__kind=kind, state=state).first()


def test_while_the_broker_is_away_nobody_falls_silent_and_afterwards_there_is_a_whole_period(
    own_broker: MosquittoServer, tmp_path: Path
) -> None:
    network = make_network()
    make_staleness(network, period_s=PERIOD_S, grace_s=0)
    make_bridge_rule(network, period_s=STEADY_GAP_S + 1)
    talking, quiet = make_sensor(network, "talking"), make_sensor(network, "quiet")
    bridge = BridgeProcess(broker_url=own_broker.url, log=tmp_path / "bridge.log").start()
    client = Client(own_broker.url)
    try:
        bridge.wait_ready()
        for sensor in (talking, quiet):
            client.publish(f"measurements/{sensor.identifier}", {"measurements": [measurement({"n": 0})]})
        wait_until(lambda: SensorState.objects.filter(last_seen_at__isnull=False).count() == 2, 30, "their messages")
        wait_until(lambda: Watermark.objects.filter(drained_until__isnull=False).exists(), 30, "the watermark")
        own_broker.kill()
        # By the clock both have been unheard for several periods then.
        wait_until(lambda: swept(network, "bridge_away", "firing"), 60, "the alert about the bridge")
        own_broker.start()

        def heard_and_swept(kind: str, state: str) -> Alert | None:
            client.send(f"measurements/{talking.identifier}", {"measurements": [measurement({"n": 1})]})
            return swept(network, kind, state)

        wait_until(lambda: heard_and_swept("bridge_away", "resolved"), 60, "the bridge to be near again")
        alert = wait_until(lambda: heard_and_swept("staleness", "firing"), 60, "the alert of the quiet sensor")
    finally:
        client.close()
        bridge.stop()
    assert (alert.sensor_id, Alert.objects.count()) == (quiet.pk, 2)
    steady_since = Watermark.objects.get().steady_since
    assert alert.fired_at is not None
    assert steady_since is not None
    assert (alert.fired_at - steady_since).total_seconds() > PERIOD_S
