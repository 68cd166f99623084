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


@pytest.mark.parametrize("who", ["stranger", "inactive"])
def test_who_has_nothing_hears_nothing(web: WebProcess, world: World, sockets: ExitStack, who):
    browser = {"origin": f"http://{web.host}"}
    if who == "inactive":
        user = type(world.plant.people["staff"]).objects.get(username__startswith="inactive-")
        socket = sockets.enter_context(open_socket(web, session=log_in(user), **browser))
        assert closed_with(socket) == 4401
        return
    browser["session"] = log_in(world.plant.people[who])
    followers = {}
    for (subject, way), place in product(WAYS, PLACES):
        followers[f"{place} in {subject} by {way}"] = follow(web, world, subject, way, place, **browser)
    for socket, _ in followers.values():
        sockets.enter_context(socket)
    assert heard(world, followers) == {key: set() for key in followers}


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
    found: dict[str, set[str]] = {}
    # First those who shall hear: when they have, what others should not have would have been sent, too.
    for key, (socket, shown) in sorted(followers.items(), key=lambda each: not each[1][1]):
        events = set()
        for _ in shown:
            frame = socket.receive_kind("status")
            events.add(world.place_of(frame["sensor"]))
        assert socket.silent(0.02), key
        assert events == shown, key
        found[key] = events
    return found
