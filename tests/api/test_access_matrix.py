"""Every operation of the OpenAPI document, tried by every kind of caller."""

import json
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from alerts import services as alerts
from alerts.models import Notification, NotificationEvent, NotificationState
from alerts.services.transitions import firing_alert, open_alerts
from config.services import create_revision
from sensors import services
from sensors.models import AccessToken, Role, Sensor, SensorState, TokenScope, User
from telemetry.models import RejectedMessage
from tests.api.callers import Caller, make_network, make_user
from tests.api.matrix import CALLERS, LOGIN, OPERATIONS, expected, operation_name
from tests.telemetry.rows import put_log_messages


@cache
def document() -> set[str]:
    """Return the names of all operations that the OpenAPI document has."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {operation_name(method, path) for path, operations in paths.items() for method in operations}


def test_the_matrix_has_every_operation_of_the_document_and_no_other():
    assert document() == OPERATIONS.keys()


class Plant:
    """A network with one of everything that a path can name, and callers of every kind."""

    def __init__(self) -> None:
        now = timezone.now()
        self.network, users = make_network(
            "plant", viewer=Role.VIEWER, operator=Role.OPERATOR, owner=Role.OWNER, member=Role.VIEWER
        )
        self.elsewhere, others = make_network("elsewhere", other=Role.OWNER)
        services.set_member(self.elsewhere, user=users["owner"], role=Role.OWNER)
        staff = make_user("staff", is_staff=True)
        stranger = make_user("stranger")
        gateway = services.create_gateway(self.network, identifier="matrix-gateway")
        sensor = services.create_sensor(self.network, identifier="matrix-sensor", gateway=gateway)
        services.issue_credential(sensor, author=None, now=now)
        SensorState.objects.filter(sensor=sensor).update(
            last_seen_at=now, latest_measured_at=now, latest_received_at=now, latest_revision=0, latest_value={"a": 1}
        )
        create_revision(sensor, values={"a": 1}, author=None, now=now)
        rule = alerts.create_rule(
            self.network, name="Hot", kind="threshold", attribute="a", above=1, sensors=[sensor], author=None
        )
        alert = firing_alert(
            rule, sensor=sensor, sensor_identifier=sensor.identifier, started_at=now, fired_at=now, now=now
        )
        open_alerts([alert], now=now)
        silence = alerts.create_silence(
            user=users["owner"], matchers={"network": self.network.slug}, ends_at=now + timedelta(days=1), now=now
        )
        target = alerts.create_target(self.network, name="Hook", url="json://127.0.0.1:9/x", author=None, now=now)
        notification = Notification.objects.create(
            alert=alert, target=target, event=NotificationEvent.FIRING, number=0, sent_at=now,
            state=NotificationState.SENT, due_at=now, created_at=now,
        )  # fmt: skip
        rejected = RejectedMessage.objects.create(
            topic="measurements/matrix-sensor", digest=b"0" * 16, reason="schema", detail="", count=1, first_at=now,
            last_at=now, payload=b"{}", payload_bytes=2, sensor_id=sensor.pk,
        )  # fmt: skip
        claim_code, code = services.create_claim_code(self.network, name="Matrix", days=1, author=None, now=now)
        services.present_claim(code, identifier="claimed", proof="a proof of the matrix", now=now)
        own, _ = services.create_token(users["owner"], name="to be tried", days=1)
        invitation, invited_by = services.create_invitation(self.network, role=Role.VIEWER, author=None, now=now)
        self.names: dict[str, Any] = {
            "slug": self.network.slug,
            "username": users["member"].username,
            "stranger": stranger.username,
            "gateway": gateway.identifier,
            "identifier": sensor.identifier,
            "revision": 0,
            "number": rejected.pk,
            "rule": rule.pk,
            "alert": alert.pk,
            "silence": silence.pk,
            "target": target.pk,
            "notification": notification.pk,
            "handle": own.handle,
            "invitation": invitation.pk,
            "token": invited_by,
            "claim": claim_code.claims.get().pk,
            "claim_code": claim_code.pk,
        }
        # Who can come by a session too.
        self.people = {**users, "other_owner": others["other"], "staff": staff, "stranger": stranger}
        self.headers = {
            "nobody": {},
            "revoked_token": self._ended(users["owner"]),
            "expired_token": self._expired(users["owner"]),
            "inactive_user": self._inactive(),
            "other_owner": bearer(others["other"]),
            "viewer": bearer(users["viewer"]),
            "operator": bearer(users["operator"]),
            "owner": bearer(users["owner"]),
            "staff": bearer(staff),
            "read_token": bearer(users["owner"], scope=TokenScope.READ),
            "operate_token": bearer(users["owner"], scope=TokenScope.OPERATE),
            "bound_token": bearer(users["owner"], networks=[self.elsewhere]),
            "staff_read_token": bearer(staff, scope=TokenScope.READ),
            "staff_bound_token": bearer(staff, networks=[self.elsewhere]),
        }

    def _ended(self, user: User) -> dict[str, str]:
        token, secret = services.create_token(user, days=1)
        services.end_token(token)
        return {"Authorization": f"Bearer {secret}"}

    def _expired(self, user: User) -> dict[str, str]:
        token, secret = services.create_token(user, days=1)
        AccessToken.objects.filter(pk=token.pk).update(expiry=timezone.now())
        return {"Authorization": f"Bearer {secret}"}

    def _inactive(self) -> dict[str, str]:
        user = make_user("inactive")
        services.set_member(self.network, user=user, role=Role.OWNER)
        headers = bearer(user)
        User.objects.filter(pk=user.pk).update(is_active=False)
        return headers

    def filled(self, value: Any) -> Any:
        """Return `value` with this network's names in the place of those in braces."""
        if isinstance(value, dict):
            return {key: self.filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        return value.format(**self.names) if isinstance(value, str) else value


def bearer(user: User, **limits: Any) -> dict[str, str]:
    _, secret = services.create_token(user, name="matrix", days=1, **limits)
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def plant(db, settings):
    settings.NOTIFICATION_PRIVATE_TARGETS = ["127.0.0.1"]
    settings.BROKER_AUTH_SECRET = "the secret of a broker, which no user has"
    return Plant()


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_caller_may_do_what_is_theirs_and_nothing_else(plant, name):
    operation = OPERATIONS[name]
    method, path = name.split(" ")
    answers, wanted = {}, {}
    for number, (who, kind) in enumerate(CALLERS.items()):
        # Whatever a caller did is undone before the next one tries.
        with transaction.atomic():
            body = None if operation.body is None else json.dumps(plant.filled(operation.body))
            answer = Caller(**plant.headers[who]).send(
                # Attempts to log in are limited by address, of IPv6 by its /64.
                method, plant.filled(path) + operation.query, body, REMOTE_ADDR=f"2001:db8:{number:x}::1",
            )  # fmt: skip
            transaction.set_rollback(True)
        answers[who], wanted[who] = answer.status_code, expected(name, kind)
        if answer.status_code == 401:
            assert answer["WWW-Authenticate"] == "Bearer"
    assert answers == wanted


# What has no name of anything in a network: the caller's own tokens, and counts, which have tests of their own.
_NAMELESS = {"GET tokens/", "GET stats/"}


@pytest.mark.parametrize(
    "name", [name for name, operation in OPERATIONS.items() if name.startswith("GET ") and operation.needs == LOGIN]
)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
def test_what_everybody_may_ask_tells_the_owner_of_another_network_nothing_of_this_one(plant, name):
    put_log_messages(Sensor.objects.get(identifier="matrix-sensor"), [(timezone.now(), "warning", "Matrix")])
    names = (plant.network.slug, "matrix-sensor", "matrix-gateway", "claimed", "Matrix", "Hook", "Hot")

    def told(who):
        answer = Caller(**plant.headers[who]).get(name.removeprefix("GET ") + OPERATIONS[name].query)
        assert answer.status_code == 200
        return [each for each in names if each in b"".join(answer).decode()]

    assert told("other_owner") == []
    # With the control: who may see it is told.
    assert bool(told("owner")) is (name not in _NAMELESS)
