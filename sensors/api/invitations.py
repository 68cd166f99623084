"""Invitations into a network, and handing it over, over HTTP."""

import time
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sensors import mail, services
from sensors.api.filters import refuse_unknown_parameters
from sensors.api.pagination import Pages
from sensors.api.permissions import NetworkPermission, caller, require_whole, visible_network, visible_or_404
from sensors.api.serializers import MemberSerializer, StrictSerializer, TextField
from sensors.invitations import invitation_path, mail_invitation
from sensors.limits.attempts import MAX_MAILED_AN_HOUR, MailThrottle
from sensors.models import Invitation, InvitationState, Network, Role, User
from sensors.queries import invitation_state, owner_ids
from sensors.services.invitations import DEFAULT_DAYS, MAX_DAYS


class InvitationSerializer(StrictSerializer):
    """An invitation; never its secret."""

    id = serializers.IntegerField(read_only=True)
    role = serializers.ChoiceField(choices=Role.choices)
    email = serializers.EmailField(
        required=False, default="", allow_blank=True, max_length=254, help_text="The link is sent there, if given."
    )
    days = serializers.IntegerField(
        required=False, default=DEFAULT_DAYS, min_value=1, max_value=MAX_DAYS, write_only=True
    )
    state = serializers.ChoiceField(choices=InvitationState.choices, read_only=True)
    created_by = serializers.CharField(read_only=True, allow_null=True, help_text="null: made in a shell.")
    created_at = serializers.DateTimeField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True)
    accepted_by = serializers.CharField(read_only=True, allow_null=True)
    accepted_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def to_representation(self, instance: Invitation) -> dict[str, Any]:
        """Return it with what became of it."""
        return {
            "id": instance.pk,
            "role": instance.role,
            "email": instance.email,
            "state": invitation_state(instance, now=timezone.now(), owners=self.context.get("owners")),
            "created_by": instance.created_by and instance.created_by.get_username(),
            "created_at": instance.created_at,
            "expires_at": instance.expires_at,
            "accepted_by": instance.accepted_by and instance.accepted_by.get_username(),
            "accepted_at": instance.accepted_at,
        }


class NewInvitationSerializer(InvitationSerializer):
    """A new invitation, with its link, this once."""

    url = serializers.CharField(read_only=True, help_text="The link, shown now and never again.")
    token = serializers.CharField(read_only=True, help_text="What programs accept it by.")
    mailed = serializers.BooleanField(read_only=True, help_text="Whether the link is on its way by mail.")


class SecretSerializer(StrictSerializer):
    """The token of an invitation."""

    token = TextField(max_length=200)


class OfferSerializer(serializers.Serializer):
    """What an invitation offers."""

    network = serializers.CharField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)
    invited_by = serializers.CharField(allow_null=True)
    state = serializers.ChoiceField(choices=InvitationState.choices)
    expires_at = serializers.DateTimeField()


class JoinedSerializer(serializers.Serializer):
    """What the caller is now. used: false where they had as much before, and the invitation is still good."""

    network = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)
    used = serializers.BooleanField()


class HandOverSerializer(StrictSerializer):
    """To whom."""

    user = TextField(max_length=150)


_INVITATION = {
    "id": 7,
    "role": "operator",
    "email": "ada@example.org",
    "state": "open",
    "created_by": "grace",
    "created_at": "2026-03-01T12:00:00.000000Z",
    "expires_at": "2026-03-08T12:00:00.000000Z",
    "accepted_by": None,
    "accepted_at": None,
}
_SECRET = "jq0WzX3mT8r5yV2bN7kLpD4sF9hGcA1e"  # noqa: S105 - an example
_MADE = [
    OpenApiExample("By mail", value={"role": "operator", "email": "ada@example.org", "days": 7}, request_only=True),
    OpenApiExample(
        "Just made",
        value={
            **_INVITATION,
            "url": f"https://fleet.example.org/invitations/{_SECRET}/",
            "token": _SECRET,
            "mailed": True,
        },
        response_only=True,
        status_codes=["201"],
    ),
]


class InvitationsView(APIView):
    """Invitations into a network, newest first. Owners see and make them."""

    permission_classes = [NetworkPermission]
    page_order = ("-pk",)
    pagination_class = Pages

    @extend_schema(
        summary="Invitations into a network (owners)",
        operation_id="networks_invitations_list",
        responses=InvitationSerializer(many=True),
        filters=True,
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return a page of invitations."""
        network = visible_network(request, slug, role=Role.OWNER)
        refuse_unknown_parameters(request, ("limit", "cursor"))
        pages = Pages()
        rows = pages.paginate_queryset(_invitations(network), request, self)
        context = {"owners": owner_ids(network.pk)}
        return pages.get_paginated_response(InvitationSerializer(rows, many=True, context=context).data)

    @extend_schema(
        summary="Invite somebody (owners)",
        description="The answer holds the link, which is kept as a hash and never shown again. It works once, for"
        " `days` days, and no longer than its maker owns the network. With `email` it is sent there, where the service"
        " has a mail server.",
        operation_id="networks_invitations_create",
        request=InvitationSerializer,
        responses={201: NewInvitationSerializer},
        examples=_MADE,
    )
    def post(self, request: Request, slug: str) -> Response:
        """Make one."""
        network = visible_network(request, slug, role=Role.OWNER)
        serializer = InvitationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        author = caller(request)
        if serializer.validated_data["email"]:
            _count_mail(author)
        invitation, secret = services.create_invitation(
            network, **serializer.validated_data, author=author, now=timezone.now()
        )
        url = mail.link(invitation_path(secret), request._request)
        body = {
            **InvitationSerializer(invitation).data,
            "url": url,
            "token": secret,
            "mailed": mail_invitation(invitation, url),
        }
        return Response(body, status=status.HTTP_201_CREATED)


class InvitationView(APIView):
    """One invitation."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Withdraw an invitation (owners)",
        description="409 if somebody has accepted it.",
        operation_id="networks_invitations_destroy",
        responses={204: None},
    )
    def delete(self, request: Request, slug: str, number: int) -> Response:
        """Withdraw it; its row stays, as withdrawn."""
        network = visible_network(request, slug, role=Role.OWNER)
        invitation = visible_or_404(_invitations(network), "invitation", pk=number)
        services.revoke_invitation(invitation, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class OfferView(APIView):
    """What an invitation offers, to who has its token."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Look at an invitation",
        operation_id="invitations_look",
        request=SecretSerializer,
        responses={200: OfferSerializer, 404: None},
    )
    def post(self, request: Request) -> Response:
        """Return what it offers; 404 if there is none of that token."""
        invitation = services.find_invitation(_secret(request))
        author = invitation.created_by
        body = {
            "network": invitation.network.slug,
            "name": invitation.network.name,
            "role": invitation.role,
            "invited_by": author and author.get_username(),
            "state": invitation_state(invitation, now=timezone.now()),
            "expires_at": invitation.expires_at,
        }
        return Response(OfferSerializer(body).data)


class AcceptView(APIView):
    """Accepts an invitation for the caller."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Accept an invitation",
        description="409 if it was used or withdrawn, or has expired. Whoever has that role or a higher one keeps it.",
        operation_id="invitations_accept",
        request=SecretSerializer,
        responses={200: JoinedSerializer, 404: None},
    )
    def post(self, request: Request) -> Response:
        """Make the caller a member."""
        require_whole(request)
        membership, used = services.accept_invitation(_secret(request), user=caller(request), now=timezone.now())
        body = {"network": membership.network.slug, "role": membership.role, "used": used}
        return Response(JoinedSerializer(body).data)


class HandOverView(APIView):
    """Hands a network over."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Hand a network over (owners)",
        description="The other becomes an owner and the caller an operator, both at once. Staff who do not own it stay"
        " as they are.",
        operation_id="networks_hand_over",
        request=HandOverSerializer,
        responses={200: MemberSerializer(many=True)},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Swap the roles."""
        network = visible_network(request, slug, role=Role.OWNER)
        serializer = HandOverSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        username = serializer.validated_data["user"]
        user = User.objects.filter(username=username).first()
        if user is None:
            raise ValidationError({"user": [f"There is no user {username!r}; invite them first."]})
        taken, given = services.hand_over_network(network, from_user=caller(request), to_user=user)
        return Response(MemberSerializer([each for each in (taken, given) if each], many=True).data)


def _count_mail(author: User) -> None:
    """Raise Throttled where the author has invited too many by mail."""
    throttle = MailThrottle()
    if not throttle.attempt("", author.get_username(), now_s=time.time()):
        why = f"You have sent {MAX_MAILED_AN_HOUR} mails within an hour. Make links without an e-mail address, or wait."
        raise Throttled(throttle.wait_s, why)


def _invitations(network: Network) -> QuerySet[Invitation]:
    rows = Invitation.objects.filter(network=network)
    return rows.select_related("created_by", "accepted_by")


def _secret(request: Request) -> str:
    serializer = SecretSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    return str(serializer.validated_data["token"])
