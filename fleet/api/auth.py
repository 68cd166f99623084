"""Logging in and out with tokens, and who the caller is."""

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth import logout as end_session
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import AuthenticationFailed, Throttled, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.accounts import second_factor
from fleet.login import TooManyAttemptsError
from sensors import services
from sensors.api.permissions import caller
from sensors.api.serializers import StrictSerializer, TextField
from sensors.models import AccessToken, Membership, Role, TokenScope, User
from sensors.queries import limited, visible


class CredentialsSerializer(StrictSerializer):
    """What a login needs."""

    username = TextField(max_length=150)
    password = TextField(max_length=4096, trim_whitespace=False, write_only=True, style={"input_type": "password"})
    code = TextField(
        max_length=32,
        required=False,
        write_only=True,
        help_text="With two-factor authentication: the code that the app shows, or a recovery code.",
    )


class TokenSerializer(serializers.Serializer):
    """A new token; it is shown this once."""

    token = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)


class RoleSerializer(serializers.Serializer):
    """The caller's role in one network."""

    network = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)


class OwnTokenSerializer(serializers.Serializer):
    """The token by which the caller came."""

    name = serializers.CharField()
    scope = serializers.ChoiceField(choices=TokenScope.choices)
    expires_at = serializers.DateTimeField(allow_null=True)


class MeSerializer(serializers.Serializer):
    """The caller."""

    username = serializers.CharField()
    is_staff = serializers.BooleanField(help_text="Staff see every network and act as owners in it.")
    memberships = RoleSerializer(many=True, help_text="As far as the token goes, if there is one.")
    token = OwnTokenSerializer(allow_null=True)


class TokenView(APIView):
    """Exchanges a username and password for a token."""

    # No session counts here, so no CSRF token is needed to log in.
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @extend_schema(
        summary="Log in: get a token",
        description="Users with two-factor authentication send `code`, too: 400 without it, 401 if it is wrong.",
        operation_id="auth_token",
        auth=[],
        request=CredentialsSerializer,
        responses={200: TokenSerializer},
    )
    def post(self, request: Request) -> Response:
        """Return a new token; 401 for a wrong name or password, without saying which."""
        serializer = CredentialsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        try:
            user = authenticate(request._request, username=values["username"], password=values["password"])
            if user is None:
                raise AuthenticationFailed("The username or the password is wrong, or the user is inactive.")
            _check_second_factor(request._request, user, values.get("code"))
        except TooManyAttemptsError as error:
            raise Throttled(error.wait_s) from error
        # Who it is from here on, for the audit log.
        request.user = user
        token, secret = services.create_token(user, name="login over HTTP", days=settings.TOKEN_DAYS)
        return Response(TokenSerializer({"token": secret, "expires_at": token.expiry}).data)

    def get_authenticate_header(self, request: Request) -> str:
        """Return the challenge that makes a refused login 401 although no authentication is configured here."""
        return "Bearer"


def _check_second_factor(request: HttpRequest, user: User, code: str | None) -> None:
    """Raise ValidationError (400) where a code is missing, AuthenticationFailed (401) where it is wrong."""
    if not second_factor.is_on(user):
        return
    if not code:
        raise ValidationError({"code": ["This user logs in with a second factor: send the app's code as well."]})
    if second_factor.check_code(request, user, code) is None:
        raise AuthenticationFailed("The code is wrong, or was used already.")


class LogoutView(APIView):
    """Ends the token with which it is called, or the session."""

    @extend_schema(summary="Log out: end this token", operation_id="auth_logout", request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """End the token, or the session; the next request with it is 401."""
        if isinstance(request.auth, AccessToken):
            services.end_token(request.auth)
        else:
            end_session(request._request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(APIView):
    """Who the caller is and what they may do."""

    @extend_schema(summary="Who you are", operation_id="me", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Return the user with their roles by network."""
        user = caller(request)
        memberships = visible(user, Membership.objects.filter(user=user)).order_by("network__slug")
        token = request.auth if isinstance(request.auth, AccessToken) else None
        body = {
            "username": request.user.get_username(),
            "is_staff": request.user.is_staff,
            "memberships": [
                {"network": slug, "role": limited(Role(role), user)}
                for slug, role in memberships.values_list("network__slug", "role")
            ],
            "token": token and {"name": token.name, "scope": token.scope, "expires_at": token.expiry},
        }
        return Response(MeSerializer(body).data)
