"""`/ws/live/`: a socket shows what its user may see, and closes when that right is lost."""

import secrets

import pytest

from sensors import live, services
from sensors.models import AccessToken, Membership, Role, User
from tests.live.web import AT, WebProcess, closed_with, log_in, open_socket


class TestRights:
    def test_what_is_anothers_does_not_exist(self, web: WebProcess, make_world):
        world, other = make_world(1), make_world(1)
        with open_socket(web, world.viewer, sensors=other.names, networks=[other.slug]) as socket:
            assert socket.receive()["sensors"] == []
            errors = [socket.receive(), socket.receive()]
            assert [error["code"] for error in errors] == ["not_found", "not_found"]
            assert other.names[0] in errors[0]["detail"]
            assert other.slug in errors[1]["detail"]
            # The connection lives, and hears its own and nothing else.
            socket.send(type="subscribe", sensors=[*world.names, *other.names, "no-such-sensor"])
            assert [one["identifier"] for one in socket.receive()["sensors"]] == world.names
            assert socket.receive()["code"] == "not_found"
            live.send_status(other.slug, other.names[0], status="up", last_seen_at=AT)
            live.send_status(world.slug, world.names[0], status="up", last_seen_at=AT)
            assert socket.receive()["sensor"] == world.names[0]
            assert socket.silent()

    def test_staff_hear_of_every_network(self, web: WebProcess, make_world):
        world = make_world(1)
        staff = User.objects.create_user(f"staff-{secrets.token_hex(4)}", is_staff=True)
        with open_socket(web, staff, networks=[world.slug]) as socket:
            assert len(socket.receive()["sensors"]) == 1

    def test_a_deleted_token_ends_the_socket(self, web: WebProcess, make_world):
        token, secret = services.create_token(make_world().viewer, days=1)
        with open_socket(web, secret=secret) as socket:
            socket.receive()
            token.delete()
            assert closed_with(socket, 5) == 4401

    def test_a_token_that_expires_ends_the_socket(self, web: WebProcess, make_world):
        token, secret = services.create_token(make_world().viewer, days=1)
        with open_socket(web, secret=secret) as socket:
            socket.receive()
            AccessToken.objects.filter(pk=token.pk).update(expiry=AT)
            assert closed_with(socket, 5) == 4401

    @pytest.mark.parametrize("ending", ["logout", "deactivate", "password"])
    def test_an_ended_session_ends_the_socket(self, web: WebProcess, make_world, ending):
        viewer = make_world().viewer
        session = log_in(viewer)
        with open_socket(web, session=session, origin=f"http://{web.host}") as socket:
            socket.receive()
            if ending == "logout":
                session.session.flush()
            elif ending == "deactivate":
                User.objects.filter(pk=viewer.pk).update(is_active=False)
            else:
                viewer.set_password(secrets.token_hex(8))
                viewer.save(update_fields=["password"])
            assert closed_with(socket, 5) == 4401

    def test_a_token_ends_with_its_user(self, web: WebProcess, make_world):
        viewer = make_world().viewer
        with open_socket(web, viewer) as socket:
            socket.receive()
            User.objects.filter(pk=viewer.pk).update(is_active=False)
            assert closed_with(socket, 5) == 4401

    def test_a_network_that_is_taken_from_a_token_ends_the_socket(self, web: WebProcess, make_world):
        world, other = make_world(1), make_world(1)
        services.set_member(other.network, user=world.viewer, role=Role.VIEWER)
        token, secret = services.create_token(world.viewer, days=1, networks=[world.network, other.network])
        with open_socket(web, secret=secret, networks=[world.slug]) as socket:
            assert len(socket.receive()["sensors"]) == 1
            AccessToken.objects.filter(pk=token.pk).update(network_ids=[other.network.pk])
            assert closed_with(socket, 5) == 4403

    def test_who_is_staff_no_longer_is_cut_off_from_what_only_staff_see(self, web: WebProcess, make_world):
        world = make_world(1)
        staff = User.objects.create_user(f"staff-{secrets.token_hex(4)}", is_staff=True)
        with open_socket(web, staff, sensors=world.names) as socket:
            assert len(socket.receive()["sensors"]) == 1
            User.objects.filter(pk=staff.pk).update(is_staff=False)
            assert closed_with(socket, 5) == 4403

    def test_a_lost_membership_ends_the_socket(self, web: WebProcess, make_world):
        world = make_world(1)
        with open_socket(web, world.viewer, sensors=world.names) as socket:
            socket.receive()
            Membership.objects.filter(user=world.viewer).delete()
            assert closed_with(socket, 5) == 4403

    def test_a_new_membership_is_seen_by_the_next_subscription(self, web: WebProcess, make_world):
        world, other = make_world(1), make_world(1)
        with open_socket(web, world.viewer, networks=[other.slug]) as socket:
            socket.receive_kind("error")
            services.set_member(other.network, user=world.viewer, role=Role.VIEWER)
            socket.send(type="subscribe", networks=[other.slug])
            assert [one["identifier"] for one in socket.receive()["sensors"]] == other.names

    def test_a_deleted_sensor_is_told_of_and_the_socket_lives(self, web: WebProcess, make_world):
        world = make_world(2)
        with open_socket(web, world.viewer, sensors=world.names) as socket:
            socket.receive()
            services.delete_sensor(world.sensors[0])
            error = socket.receive_kind("error", 5)
            assert (error["code"], world.names[0] in error["detail"]) == ("not_found", True)
            live.send_status(world.slug, world.names[1], status="up", last_seen_at=AT)
            assert socket.receive_kind("status")["sensor"] == world.names[1]
