"""Where brokers ask over HTTP who may come in and what they may do: EMQX, VerneMQ, mosquitto-go-auth.

The rules are in `sensors.broker`; here are the three brokers' own words for question and answer (docs/brokers.md). What
cannot be answered is refused in a way that each takes for a refusal.
"""

import base64
import binascii
import hmac
import time
from typing import Any, Final, cast

import structlog
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, InterfaceError
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotFound, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sensors.api.serializers import TextField
from sensors.broker.logins import Action, LoginAttempt, Verdict, is_service_login, judge_login, may_use

log = structlog.get_logger(__name__)

# The longest text of MQTT is 65,535 bytes.
_LONGEST: Final = 65_535


class BrokerAuthentication(BaseAuthentication):
    """A broker, by BROKER_AUTH_SECRET: as a bearer token, or as the password of an address (`https://x:SECRET@…`)."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, None]:
        """Return nobody in particular; raises AuthenticationFailed for a missing or wrong secret."""
        given = _secret_in(request.headers.get("Authorization", ""))
        # In constant time, and of bytes: the header may hold anything.
        if not hmac.compare_digest(given, settings.BROKER_AUTH_SECRET.encode()):
            raise AuthenticationFailed("Brokers send BROKER_AUTH_SECRET as a bearer token.")
        return AnonymousUser(), None

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return "Bearer"


def _secret_in(header: str) -> bytes:
    kind, _, value = header.partition(" ")
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return value.strip().encode() if kind.lower() == "bearer" else b""


def _text() -> TextField:
    # A client without a login has none; what is longer than any of MQTT's is no name of anybody.
    return TextField(default="", allow_blank=True, allow_null=True, trim_whitespace=False, max_length=_LONGEST)


def _password() -> TextField:
    field = _text()
    field.style = {"input_type": "password"}
    return field


class BrokerView(APIView):
    """A question of a broker's; 404 while BROKER_AUTH_SECRET is not set."""

    authentication_classes = [BrokerAuthentication]
    permission_classes = [AllowAny]
    # All logins of a fleet that comes back come from here; wrong passwords are limited by `sensors.limits.guesses`.
    throttle_classes: list[Any] = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let nobody ask a service that has no secret for it."""
        if not settings.BROKER_AUTH_SECRET:
            raise NotFound("This service has no BROKER_AUTH_SECRET, so no broker can ask it.")
        super().initial(request, *args, **kwargs)

    def asked(self, request: Request, serializer: type[serializers.Serializer]) -> dict[str, Any]:
        """Return the question's values, absent texts as ""; ValidationError names what is wrong with it."""
        question = serializer(data=request.data)
        question.is_valid(raise_exception=True)
        return {name: "" if value is None else value for name, value in question.validated_data.items()}


# --- EMQX ------------------------------------------------------------------------------------------


class EmqxLoginSerializer(serializers.Serializer):
    """What the authenticator's body template names."""

    username = _text()
    password = _password()
    clientid = _text()
    peerhost = _text()


class EmqxUseSerializer(serializers.Serializer):
    """What the authorizer's body template names."""

    username = _text()
    topic = TextField(trim_whitespace=False, max_length=_LONGEST)
    action = serializers.ChoiceField(choices=["publish", "subscribe"])


class EmqxVerdictSerializer(serializers.Serializer):
    """EMQX's answer."""

    result = serializers.ChoiceField(choices=["allow", "deny"])


class EmqxLoginVerdictSerializer(EmqxVerdictSerializer):
    """EMQX's answer to a login. is_superuser: the service's own login, which may use every topic."""

    is_superuser = serializers.BooleanField()


class EmqxView(BrokerView):
    """EMQX passes over every answer but 200, and by default allows what nobody refused: so a refusal is 200, too."""

    def handle_exception(self, exc: Exception) -> Response:
        """Refuse what cannot be answered; only who is no broker learns why by a status."""
        if isinstance(exc, AuthenticationFailed | NotFound) or not isinstance(
            exc, APIException | DatabaseError | InterfaceError
        ):
            # The last is a defect: logged as one, and refused by `no_match = deny` (docs/brokers.md).
            return super().handle_exception(exc)
        why = exc.detail if isinstance(exc, APIException) else type(exc).__name__
        log.warning("a question of EMQX could not be answered and was refused", why=str(why)[:200])
        self.headers = self.default_response_headers
        return Response({"result": "deny", "is_superuser": False})


class EmqxAuthenticationView(EmqxView):
    """EMQX's HTTP authenticator."""

    @extend_schema(
        summary="EMQX asks about a login",
        description="Always 200: EMQX takes everything else for no answer. See docs/brokers.md.",
        operation_id="broker_emqx_authentication",
        request=EmqxLoginSerializer,
        responses={200: EmqxLoginVerdictSerializer, 404: None},
        examples=[OpenApiExample("A sensor", value={"result": "allow", "is_superuser": False}, response_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Answer `allow` or `deny`."""
        asked = self.asked(request, EmqxLoginSerializer)
        login = LoginAttempt(asked["username"], asked["password"], asked["clientid"], asked["peerhost"])
        verdict = judge_login(login, now_s=time.time())
        return Response(
            {
                "result": "allow" if verdict.is_admitted else "deny",
                "is_superuser": verdict is Verdict.SERVICE,
            }
        )


class EmqxAuthorizationView(EmqxView):
    """EMQX's HTTP authorizer."""

    @extend_schema(
        summary="EMQX asks about a topic",
        description="Always 200: EMQX takes everything else for no answer. See docs/brokers.md.",
        operation_id="broker_emqx_authorization",
        request=EmqxUseSerializer,
        responses={200: EmqxVerdictSerializer, 404: None},
        examples=[OpenApiExample("Not its own", value={"result": "deny"}, response_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Answer `allow` or `deny`."""
        asked = self.asked(request, EmqxUseSerializer)
        action = Action.WRITE if asked["action"] == "publish" else Action.SUBSCRIBE
        allowed = may_use(asked["username"], action, asked["topic"])
        return Response({"result": "allow" if allowed else "deny"})


# --- VerneMQ ---------------------------------------------------------------------------------------

_HOOK: Final = "Vernemq-Hook"
# In a SUBACK: refused (MQTT 3.1.1), not authorized (MQTT 5).
_REFUSED_QOS: Final = 128
_REFUSED_QOS_M5: Final = 135
_OK: Final = {"result": "ok"}
_NOT_ALLOWED: Final = {"result": {"error": "not_allowed"}}


class VerneMqTopicSerializer(serializers.Serializer):
    """One filter of a subscription. MQTT 5 adds options, which are no concern of the rules."""

    topic = TextField(trim_whitespace=False, max_length=_LONGEST)
    qos = serializers.JSONField()


class VerneMqSerializer(serializers.Serializer):
    """What VerneMQ's webhooks send, as far as it is looked at; which of it depends on the hook."""

    username = _text()
    password = _password()
    client_id = _text()
    peer_addr = _text()
    topic = _text()
    topics = VerneMqTopicSerializer(many=True, default=list)


class VerneMqVerdictSerializer(serializers.Serializer):
    """VerneMQ's answer: `ok`, or an object with `error`."""

    result = serializers.JSONField()
    topics = serializers.JSONField(required=False, help_text="MQTT 3.1.1: refused filters have the QoS 128.")
    modifiers = serializers.JSONField(required=False, help_text="MQTT 5: in `topics`, refused filters have 135.")


class VerneMqView(BrokerView):
    """All hooks of VerneMQ's that ask something; the header `vernemq-hook` says which it is."""

    @extend_schema(
        summary="VerneMQ asks: auth_on_register, auth_on_publish, auth_on_subscribe, and each with _m5",
        description="An answer other than 200 is a refusal for VerneMQ. See docs/brokers.md.",
        operation_id="broker_vernemq",
        parameters=[OpenApiParameter("vernemq-hook", str, OpenApiParameter.HEADER, required=True)],
        request=VerneMqSerializer,
        responses={200: VerneMqVerdictSerializer, 404: None},
        examples=[
            OpenApiExample("Admitted", value=_OK, response_only=True),
            OpenApiExample("Refused", value=_NOT_ALLOWED, response_only=True),
        ],
    )
    def post(self, request: Request) -> Response:
        """Answer the hook; 400 for one that asks nothing that is known here."""
        name = request.headers.get(_HOOK, "")
        hook, is_m5 = name.removesuffix("_m5"), name.endswith("_m5")
        asked = self.asked(request, VerneMqSerializer)
        username = asked["username"]
        if hook == "auth_on_register":
            login = LoginAttempt(username, asked["password"], asked["client_id"], asked["peer_addr"])
            return Response(_OK if judge_login(login, now_s=time.time()).is_admitted else _NOT_ALLOWED)
        if hook == "auth_on_publish":
            return Response(_OK if may_use(username, Action.WRITE, asked["topic"]) else _NOT_ALLOWED)
        if hook == "auth_on_subscribe":
            sent = cast(dict[str, Any], request.data).get("topics", [])
            return Response(_subscription(username, sent, asked["topics"], is_m5=is_m5))
        raise ValidationError({"vernemq-hook": [f"No hook that is answered here: {name[:50]!r}."]})


def _subscription(username: str, sent: list[dict[str, Any]], asked: list[dict[str, Any]], *, is_m5: bool) -> Any:
    """Return VerneMQ's answer to a subscription: each filter as it was sent, refused ones with a QoS that says so."""
    allowed = [may_use(username, Action.SUBSCRIBE, each["topic"]) for each in asked]
    if not any(allowed):
        return _NOT_ALLOWED
    if all(allowed):
        return _OK
    refused = _REFUSED_QOS_M5 if is_m5 else _REFUSED_QOS
    topics = [each if is_allowed else {**each, "qos": refused} for each, is_allowed in zip(sent, allowed, strict=True)]
    return {"result": "ok", "modifiers": {"topics": topics}} if is_m5 else {"result": "ok", "topics": topics}


# --- mosquitto-go-auth -----------------------------------------------------------------------------

# MOSQ_ACL_READ, _WRITE, both, _SUBSCRIBE.
_ACCESSES: Final = {
    1: (Action.READ,),
    2: (Action.WRITE,),
    3: (Action.READ, Action.WRITE),
    4: (Action.SUBSCRIBE,),
}


class GoAuthLoginSerializer(serializers.Serializer):
    """A login, without the client's address, which mosquitto-go-auth does not tell."""

    username = _text()
    password = _password()
    clientid = _text()


class GoAuthNameSerializer(serializers.Serializer):
    """Whose rights are asked for."""

    username = _text()


class GoAuthUseSerializer(GoAuthNameSerializer):
    """acc: 1 to receive, 2 to publish, 3 for both, 4 to subscribe."""

    topic = TextField(trim_whitespace=False, max_length=_LONGEST)
    acc = serializers.ChoiceField(choices=list(_ACCESSES))


class GoAuthVerdictSerializer(serializers.Serializer):
    """mosquitto-go-auth's answer."""

    ok = serializers.BooleanField()
    error = serializers.CharField(allow_blank=True)


class GoAuthView(BrokerView):
    """mosquitto-go-auth reads the status, the body, or both, by its `response_mode`: so both say the same."""

    def answer(self, is_ok: bool) -> Response:
        """Return 200 or 403."""
        if is_ok:
            return Response({"ok": True, "error": ""})
        return Response({"ok": False, "error": "not allowed"}, status=status.HTTP_403_FORBIDDEN)


_GO_AUTH_ANSWERS: Final = {200: GoAuthVerdictSerializer, 403: GoAuthVerdictSerializer, 404: None}


class GoAuthUserView(GoAuthView):
    """`http_getuser_uri`."""

    @extend_schema(
        summary="mosquitto-go-auth asks about a login",
        operation_id="broker_go_auth_user",
        request=GoAuthLoginSerializer,
        responses=_GO_AUTH_ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Answer 200 or 403."""
        asked = self.asked(request, GoAuthLoginSerializer)
        login = LoginAttempt(asked["username"], asked["password"], asked["clientid"])
        return self.answer(judge_login(login, now_s=time.time()).is_admitted)


class GoAuthSuperuserView(GoAuthView):
    """`http_superuser_uri`."""

    @extend_schema(
        summary="mosquitto-go-auth asks whether it is the service's own login",
        operation_id="broker_go_auth_superuser",
        request=GoAuthNameSerializer,
        responses=_GO_AUTH_ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Answer 200 or 403."""
        return self.answer(is_service_login(self.asked(request, GoAuthNameSerializer)["username"]))


class GoAuthAclView(GoAuthView):
    """`http_aclcheck_uri`."""

    @extend_schema(
        summary="mosquitto-go-auth asks about a topic",
        operation_id="broker_go_auth_acl",
        request=GoAuthUseSerializer,
        responses=_GO_AUTH_ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Answer 200 or 403."""
        asked = self.asked(request, GoAuthUseSerializer)
        actions = _ACCESSES[asked["acc"]]
        return self.answer(all(may_use(asked["username"], action, asked["topic"]) for action in actions))
