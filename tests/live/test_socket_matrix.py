"""Every WebSocket route, followed by every kind of caller: judged by what arrives."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from typing import Any, Final

import pytest
from django.test import override_settings
from websockets.exceptions import InvalidStatus

from fleet.asgi import application
from sensors import live, services
from tests.api.matrix import CALLERS
from tests.api.test_access_matrix import Plant
from tests.live.web import AT, Socket, WebProcess, closed_with, log_in, open_socket

# Every route of the ASGI application: whether it is one. The other is what all the rest leads to, and refuses it.
ROUTES: Final = {"ws/live/": True, "": False}
# Whose events a caller hears: of `plant`, in which CALLERS have their roles, and of `elsewhere`, where the owner of
# the first is an owner too, and to which bound tokens are bound.
HEARD: Final[dict[str, set[str]]] = {
    "nobody": set(),
    "revoked_token": set(),
    "expired_token": set(),
    "inactive_user": set(),
    "other_owner": {"elsewhere"},
    "viewer": {"plant"},
    "operator": {"plant"},
    "owner": {"plant", "elsewhere"},
    "staff": {"plant", "elsewhere"},
    "read_token": {"plant", "elsewhere"},
    "operate_token": {"plant", "elsewhere"},
    "bound_token": {"elsewhere"},
    "staff_read_token": {"plant", "elsewhere"},
    "staff_bound_token": {"elsewhere"},
}
PEOPLE: Final = {name: HEARD[name] for name in ("other_owner", "viewer", "operator", "owner", "staff")}
PLACES: Final = ("plant", "elsewhere")
# What a socket follows: a sensor or a whole network, named in its address or later.
WAYS: Final = list(product(("sensors", "networks"), ("address", "message")))


class World:
    """Two networks with a sensor each."""

    def __init__(self) -> None:
        self.plant = Plant()
        other = services.create_sensor(self.plant.elsewhere, identifier="elsewhere-sensor")
        self.sensors = {"plant": self.plant.names["identifier"], "elsewhere": other.identifier}
        self.networks = {"plant": self.plant.network.slug, "elsewhere": self.plant.elsewhere.slug}
        self.names = {"sensors": self.sensors, "networks": self.networks}

    def place_of(self, sensor: str) -> str:
        return next(place for place, name in self.sensors.items() if name == sensor)


@pytest.fixture(scope="module")
def shared_web(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebProcess]:
    """Return a daphne that checks rights now and then.

    Every second is too often for a hundred sockets at a time: on a busy machine such a check takes longer than that,
    and the socket ends with 4503.
    """
    with django_db_blocker.unblock():
        web = WebProcess(log=tmp_path_factory.mktemp("web") / "web.log", LIVE_RECHECK_S="14").start()
        yield web
        web.stop()


@pytest.fixture(scope="module")
def world(shared_web: WebProcess, django_db_blocker: Any) -> Iterator[World]:
    with django_db_blocker.unblock(), override_settings(NOTIFICATION_PRIVATE_TARGETS=["127.0.0.1"]):
        yield World()


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_every_route_has_its_entry():
    found = {str(route.pattern) for route in application.application_mapping["websocket"].routes}
    assert found == ROUTES.keys()
    assert HEARD.keys() == CALLERS.keys()


def test_what_no_route_is_for_is_refused_to_everybody(web: WebProcess, world: World):
    for headers in world.plant.headers.values():
        with pytest.raises(InvalidStatus) as refused:
            open_socket(web, path="/ws/", headers=headers)
        assert refused.value.response.status_code == 403


def test_each_caller_hears_what_is_theirs_and_nothing_else(web: WebProcess, world: World, sockets: ExitStack):
    wanted, followers = {}, {}
    for who, (subject, way), place in product(CALLERS, WAYS, PLACES):
        key = f"{who}: {place} in {subject} by {way}"
        if not CALLERS[who].is_known:
            with pytest.raises(InvalidStatus):
                open_socket(web, headers=world.plant.headers[who], **{subject: [world.names[subject][place]]})
            continue
        wanted[key] = {place} & HEARD[who]
        followers[key] = follow(web, world, subject, way, place, headers=world.plant.headers[who])
        sockets.enter_context(followers[key][0])
    assert heard(world, followers) == wanted


def test_each_person_hears_by_a_session_what_is_theirs(web: WebProcess, world: World, sockets: ExitStack):
    wanted, followers = {}, {}
    for who, (subject, way), place in product(PEOPLE, WAYS, PLACES):
        key = f"{who}: {place} in {subject} by {way}"
        wanted[key] = {place} & PEOPLE[who]
        browser = {"session": log_in(world.plant.people[who]), "origin": f"http://{web.host}"}
        followers[key] = follow(web, world, subject, way, place, **browser)
        sockets.enter_context(followers[key][0])
    assert heard(world, followers) == wanted


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://evil.example:{port}"])
@pytest.mark.parametrize("who", PEOPLE)
def test_a_session_with_another_origin_or_none_hears_nothing(web: WebProcess, world: World, who, origin):
    with pytest.raises(InvalidStatus) as refused:
        open_socket(
            web,
            session=log_in(world.plant.people[who]),
            origin=origin and origin.format(port=web.port),
            networks=list(world.networks.values()),
        )
    assert refused.value.response.status_code == 403


def test_a_stranger_hears_nothing(web: WebProcess, world: World, sockets: ExitStack):
    browser = {"session": log_in(world.plant.people["stranger"]), "origin": f"http://{web.host}"}
    followers = {}
    for (subject, way), place in product(WAYS, PLACES):
        key = f"{place} in {subject} by {way}"
        followers[key] = follow(web, world, subject, way, place, **browser)
        sockets.enter_context(followers[key][0])
    assert heard(world, followers) == {key: set() for key in followers}


def test_a_session_of_somebody_inactive_is_closed(web: WebProcess, world: World):
    user = type(world.plant.people["staff"]).objects.get(username__startswith="inactive-")
    with open_socket(web, session=log_in(user), origin=f"http://{web.host}") as socket:
        assert closed_with(socket) == 4401


Follower = tuple[Socket, set[str]]


def follow(web: WebProcess, world: World, subject: str, way: str, place: str, **caller: Any) -> Follower:
    """Return a socket that has asked to follow it, and the places of what its snapshot showed."""
    names = [world.names[subject][place]]
    socket = open_socket(web, **caller, **({subject: names} if way == "address" else {}))
    frame = socket.receive()
    if way == "message":
        assert frame["sensors"] == []
        socket.send(type="subscribe", **{subject: names})
        frame = socket.receive()
    assert frame["type"] == "snapshot"
    shown = {world.place_of(sensor["identifier"]) for sensor in frame["sensors"]}
    # The alert that is open there belongs to who sees its sensor.
    assert {world.place_of(alert["sensor"]) for alert in frame["alerts"]} == shown & {"plant"}
    if not shown:
        error = socket.receive()
        assert (error["type"], error["code"]) == ("error", "not_found")
    return socket, shown


def heard(world: World, followers: dict[str, Follower]) -> dict[str, set[str]]:
    """Return of which places each follower hears when something happens everywhere; the same its snapshot showed."""
    for place in PLACES:
        live.send_status(world.networks[place], world.sensors[place], status="up", last_seen_at=AT)
    frames = {
        key: [socket.receive_kind("status") for _ in range(len(shown))] for key, (socket, shown) in followers.items()
    }
    # Who shall hear has heard: what others should not have was sent to them by now, before the answer to this.
    for key, (socket, _) in followers.items():
        socket.send(type="nonsense")
        frames[key] += socket.receive_until(lambda frame: frame["type"] == "error")[:-1]
    found = {key: {world.place_of(frame["sensor"]) for frame in frames[key]} for key in followers}
    assert found == {key: shown for key, (_, shown) in followers.items()}
    return found
