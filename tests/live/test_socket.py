"""`/ws/live/`: who may open it, what it shows first, and what follows."""

import http.client

import pytest
from django.db import connection, transaction
from websockets.exceptions import InvalidStatus

from alerts.models import Alert
from config.services import create_revision
from sensors import live, services
from sensors.models import AccessToken, SensorState, User
from tests.live.web import AT, WebProcess, closed_with, log_in, open_socket
from tests.waiting import wait_until


class TestHandshake:
    def test_a_token_needs_no_origin(self, web: WebProcess, make_world):
        with open_socket(web, make_world().viewer) as socket:
            assert socket.receive() == {"type": "snapshot", "sensors": [], "alerts": [], "truncated": False}

    def test_a_token_counts_whatever_the_origin(self, web: WebProcess, make_world):
        with open_socket(web, make_world().viewer, origin="https://tools.example") as socket:
            assert socket.receive()["type"] == "snapshot"

    def test_a_session_with_the_origin_of_this_site_is_let_in(self, web: WebProcess, make_world):
        session = log_in(make_world().viewer)
        with open_socket(web, session=session, origin=f"http://{web.host}") as socket:
            assert socket.receive()["type"] == "snapshot"

    @pytest.mark.parametrize(
        "origin",
        [None, "null", "https://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", "https://{host}"],
    )
    def test_a_session_with_another_origin_or_none_is_refused(self, web: WebProcess, make_world, origin):
        session = log_in(make_world().viewer)
        with pytest.raises(InvalidStatus) as refused:
            open_socket(web, session=session, origin=origin and origin.format(host=web.host))
        assert refused.value.response.status_code == 403

    def test_a_trusted_origin_is_let_in(self, own_web, make_world):
        web = own_web(CSRF_TRUSTED_ORIGINS="https://desk.example,https://*.fleet.example")
        session = log_in(make_world().viewer)
        for origin in ("https://desk.example", "https://a.fleet.example"):
            with open_socket(web, session=session, origin=origin) as socket:
                assert socket.receive()["type"] == "snapshot"
        for origin in ("http://desk.example", "https://a.desk.example", "https://fleet.example.evil.example"):
            with pytest.raises(InvalidStatus):
                open_socket(web, session=session, origin=origin)

    def test_a_page_without_a_session_is_told_that_it_is_not_logged_in(self, web: WebProcess):
        with open_socket(web, origin=f"http://{web.host}") as socket:
            assert closed_with(socket) == 4401

    def test_an_ended_session_does_not_count(self, web: WebProcess, make_world):
        session = log_in(make_world().viewer)
        session.session.delete()
        with open_socket(web, session=session, origin=f"http://{web.host}") as socket:
            assert closed_with(socket) == 4401

    @pytest.mark.parametrize("authorization", ["Bearer wrong", "Bearer", "Bearer \xff\xfe", "Basic YTpi", "Bearer a b"])
    def test_a_wrong_token_is_refused(self, web: WebProcess, authorization):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(web, headers={"Authorization": authorization})
        assert refused.value.response.status_code == 403

    def test_nobody_is_refused(self, web: WebProcess):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(web)
        assert refused.value.response.status_code == 403

    def test_a_token_of_an_inactive_user_is_refused(self, web: WebProcess, make_world):
        viewer = make_world().viewer
        _, secret = services.create_token(viewer, days=1)
        User.objects.filter(pk=viewer.pk).update(is_active=False)
        with pytest.raises(InvalidStatus):
            open_socket(web, secret=secret)

    def test_an_expired_token_is_refused(self, web: WebProcess, make_world):
        token, secret = services.create_token(make_world().viewer, days=1)
        AccessToken.objects.filter(pk=token.pk).update(expiry=AT)
        with pytest.raises(InvalidStatus):
            open_socket(web, secret=secret)

    def test_an_unknown_host_is_refused(self, web: WebProcess, make_world):
        _, secret = services.create_token(make_world().viewer, days=1)
        # A client that claims another Host speaks the handshake by hand.
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
        connection.putrequest("GET", "/ws/live/", skip_host=True)
        for name, value in {
            "Host": "evil.example",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            "Authorization": f"Bearer {secret}",
        }.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 403

    def test_another_path_is_refused(self, web: WebProcess, make_world):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(web, make_world().viewer, path="/ws/other/")
        assert refused.value.response.status_code == 403


class TestSnapshot:
    def test_it_shows_state_configuration_and_open_alerts(self, web: WebProcess, make_world):
        world = make_world(1)
        sensor = world.sensors[0]
        create_revision(sensor, values={"interval_s": 5}, author=None, now=AT)
        SensorState.objects.filter(sensor=sensor).update(
            last_seen_at=AT,
            latest_measured_at=AT,
            latest_received_at=AT,
            latest_revision=0,
            latest_value={"temperature": 21.5, "on": True},
            running_revision=0,
        )
        common = {"network": world.network, "sensor": sensor, "sensor_identifier": sensor.identifier}
        common |= {"started_at": AT, "created_at": AT, "updated_at": AT}
        alert = Alert.objects.create(
            rule_name="hot", state="firing", severity="warning", value=51.0, fired_at=AT, **common
        )
        Alert.objects.create(rule_name="old", state="resolved", severity="info", resolved_at=AT, **common)
        with open_socket(web, world.viewer, sensors=world.names) as socket:
            frame = socket.receive()
        assert frame["sensors"] == [
            {
                "identifier": sensor.identifier,
                "name": "",
                "network": world.slug,
                "status": "down",
                "last_seen_at": "2025-06-01T12:00:00Z",
                "latest": {
                    "measured_at": "2025-06-01T12:00:00Z",
                    "revision": 0,
                    "value": {"temperature": 21.5, "on": True},
                },
                "configuration": {
                    "latest_revision": 0,
                    "acknowledged_revision": None,
                    "running_revision": 0,
                    "state": "pending",
                },
            }
        ]
        assert [(one["id"], one["rule_name"], one["sensor"], one["value"]) for one in frame["alerts"]] == [
            (alert.pk, "hot", sensor.identifier, 51.0)
        ]
        assert frame["truncated"] is False

    def test_a_network_shows_all_of_its_sensors(self, web: WebProcess, make_world):
        world = make_world(3)
        with open_socket(web, world.viewer, networks=[world.slug]) as socket:
            assert [one["identifier"] for one in socket.receive()["sensors"]] == world.names

    def test_a_subscription_later_is_answered_by_a_snapshot_of_what_was_added(self, web: WebProcess, make_world):
        world = make_world(2)
        with open_socket(web, world.viewer, sensors=world.names[:1]) as socket:
            assert [one["identifier"] for one in socket.receive()["sensors"]] == world.names[:1]
            socket.send(type="subscribe", sensors=world.names[1:])
            assert [one["identifier"] for one in socket.receive()["sensors"]] == world.names[1:]

    @pytest.mark.parametrize("known", [False, True])
    def test_what_happens_during_the_snapshot_comes_after_it(self, web: WebProcess, make_world, known):
        world = make_world(1)
        with open_socket(web, world.viewer, sensors=world.names if known else []) as socket:
            socket.receive()
            with transaction.atomic(), connection.cursor() as cursor:
                # The snapshot reads the sensors, then has to wait for the alerts.
                cursor.execute("LOCK TABLE alerts_alert IN ACCESS EXCLUSIVE MODE")
                socket.send(type="subscribe", sensors=world.names)
                wait_until(lambda: waiting_for_alerts(cursor), 10, "the snapshot's second query")
                for status in ("late", "up"):
                    live.send_status(world.slug, world.names[0], status=status, last_seen_at=AT)
                    assert socket.silent(0.3)
            frames = [socket.receive() for _ in range(3)]
        assert [frame["type"] for frame in frames] == ["snapshot", "status", "status"]
        assert [frame["status"] for frame in frames[1:]] == ["late", "up"]


def waiting_for_alerts(cursor) -> bool:
    """Return whether somebody waits for the lock of the table of alerts."""
    cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = 'alerts_alert'::regclass AND NOT granted")
    return cursor.fetchone()[0] > 0


class TestRelay:
    def test_every_kind_arrives_as_the_contract_has_it(self, web: WebProcess, make_world):
        world = make_world(1)
        sensor = world.names[0]
        item = {"measured_at": AT, "received_at": AT, "revision": 0}
        with open_socket(web, world.viewer, sensors=[sensor]) as socket:
            socket.receive()
            live.send_measurements(world.slug, sensor, [item | {"value": {"t": 1.5}}])
            live.send_heartbeats(world.slug, sensor, [item | {"success": True}])
            live.send_log_messages(world.slug, sensor, [item | {"severity": "error", "subject": "x", "details": None}])
            live.send_configuration(world.slug, sensor, revision=3, state="acknowledged")
            live.send_status(world.slug, sensor, status="up", last_seen_at=AT)
            live.send_alert(world.slug, alert={"id": 7, "sensor": sensor, "state": "firing", "started_at": AT})
            frames = [socket.receive() for _ in range(6)]
        at = "2025-06-01T12:00:00Z"
        shown = {"measured_at": at, "received_at": at, "revision": 0}
        assert frames == [
            {"type": "measurements", "sensor": sensor, "items": [shown | {"value": {"t": 1.5}}]},
            {"type": "heartbeats", "sensor": sensor, "items": [shown | {"success": True}]},
            {
                "type": "log_messages",
                "sensor": sensor,
                "items": [shown | {"severity": "error", "subject": "x", "details": None}],
            },
            {"type": "configuration", "sensor": sensor, "revision": 3, "state": "acknowledged"},
            {"type": "status", "sensor": sensor, "status": "up", "last_seen_at": at},
            {"type": "alert", "id": 7, "sensor": sensor, "state": "firing", "started_at": at},
        ]

    def test_only_what_was_subscribed_arrives(self, web: WebProcess, make_world):
        world = make_world(2)
        with open_socket(web, world.viewer, sensors=world.names[:1]) as socket:
            socket.receive()
            live.send_status(world.slug, world.names[1], status="up", last_seen_at=AT)
            live.send_alert(world.slug, alert={"id": 1, "sensor": None, "gateway": "g"})
            live.send_status(world.slug, world.names[0], status="up", last_seen_at=AT)
            assert socket.receive()["sensor"] == world.names[0]
            assert socket.silent()

    def test_a_network_hears_also_of_its_gateways(self, web: WebProcess, make_world):
        world = make_world(1)
        with open_socket(web, world.viewer, networks=[world.slug]) as socket:
            socket.receive()
            live.send_alert(world.slug, alert={"id": 1, "sensor": None, "gateway": "g"})
            assert socket.receive() == {"type": "alert", "id": 1, "sensor": None, "gateway": "g"}

    def test_a_sensor_named_beside_its_network_is_heard_once(self, web: WebProcess, make_world):
        world = make_world(1)
        with open_socket(web, world.viewer, sensors=world.names, networks=[world.slug]) as socket:
            assert len(socket.receive()["sensors"]) == 1
            live.send_status(world.slug, world.names[0], status="up", last_seen_at=AT)
            assert socket.receive()["type"] == "status"
            assert socket.silent()

    def test_unsubscribed_is_heard_no_more(self, web: WebProcess, make_world):
        world = make_world(2)
        with open_socket(web, world.viewer, sensors=world.names) as socket:
            socket.receive()
            socket.send(type="unsubscribe", sensors=world.names[:1])
            # Answers come in the order of the questions, so the unsubscription is done with this one.
            socket.send(type="subscribe", sensors=world.names[1:])
            socket.receive_kind("snapshot")
            for name in world.names:
                live.send_status(world.slug, name, status="up", last_seen_at=AT)
            assert socket.receive()["sensor"] == world.names[1]
            assert socket.silent()

    def test_what_services_do_is_told_after_the_commit(self, web: WebProcess, make_world):
        world = make_world(1)
        with open_socket(web, world.viewer, sensors=world.names) as socket:
            socket.receive()
            create_revision(world.sensors[0], values={"a": 1}, author=None, now=AT)
            assert socket.receive() == {
                "type": "configuration",
                "sensor": world.names[0],
                "revision": 0,
                "state": "pending",
            }

    def test_measurements_of_a_flush_are_one_frame(self, web: WebProcess, make_world):
        world = make_world(1)
        with open_socket(web, world.viewer, sensors=world.names) as socket:
            socket.receive()
            for i in range(100):
                live.send_measurements(world.slug, world.names[0], [{"value": {"i": i}}])
            frames = socket.receive_until(lambda frame: frame["items"][-1]["value"]["i"] == 99)
        assert [item["value"]["i"] for frame in frames for item in frame["items"]] == list(range(100))
        assert len(frames) < 20
