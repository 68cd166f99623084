"""Notification targets and what they are told, over HTTP."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import queries, services
from alerts.api import examples
from alerts.api.filters import NotificationFilters, TargetFilters
from alerts.api.notification_serializers import NotificationSerializer, TargetSerializer, TargetTestSerializer
from alerts.api.serializers import EmptySerializer
from alerts.models import Notification, NotificationTarget
from alerts.rendering import NOTIFICATION_RELATIONS, TARGET_RELATIONS
from sensors.api.permissions import caller, require_role
from sensors.api.views import FleetViewSet
from sensors.models import Role


@extend_schema_view(
    list=extend_schema(summary="Notification targets that you may see", examples=examples.TARGET),
    retrieve=extend_schema(summary="One notification target", examples=examples.TARGET),
    create=extend_schema(
        summary="Make a notification target (operators)",
        description="It is told of every transition from then on. Its host is looked up and must be public, unless"
        " the server allows it.",
        examples=examples.TARGETS,
    ),
    partial_update=extend_schema(
        summary="Change a notification target (operators)",
        description="Disabled, it is not told of what still waits for it, also not later.",
        examples=examples.TARGET,
    ),
    destroy=extend_schema(summary="Delete a notification target with what was told to it (operators)"),
)
class TargetViewSet(FleetViewSet):
    """Where people are told of alerts: chats, mailboxes, webhooks. Addresses are written and never shown."""

    queryset = NotificationTarget.objects.all()
    serializer_class = TargetSerializer
    filterset_class = TargetFilters
    page_order = ("id",)

    def get_queryset(self) -> QuerySet[NotificationTarget]:
        """Return the visible targets with what is shown of them."""
        return queries.visible_targets(self.request.user).select_related(*TARGET_RELATIONS)

    def create(self, request: Request) -> Response:
        """Make a target."""
        values = self.validated()
        network = values.pop("network")
        require_role(request, network, Role.OPERATOR)
        target = services.create_target(network, **values, author=caller(request), now=timezone.now())
        return Response(self.get_serializer(target).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what was sent."""
        target = self.get_object()
        changed = services.update_target(target, now=timezone.now(), **self.validated(target))
        return Response(self.get_serializer(changed).data)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete it."""
        services.delete_target(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Send a test message to a target (operators)",
        description="Answers when the message was taken or refused, within half a minute. 409 for a second one within"
        " ten seconds.",
        request=EmptySerializer,
        responses=TargetTestSerializer,
        examples=examples.TESTED,
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Send a message and say what became of it."""
        target = self.get_object()
        EmptySerializer(data=request.data).is_valid(raise_exception=True)
        target, is_sent = services.try_target(target, now=timezone.now())
        return Response({"sent": is_sent, "error": target.last_error})


@extend_schema_view(
    list=extend_schema(summary="What targets are told, newest first", examples=examples.NOTIFICATION),
    retrieve=extend_schema(summary="One notification", examples=examples.NOTIFICATION),
)
class NotificationViewSet(FleetViewSet):
    """What notification targets are, or were, to be told of alerts, and what became of it."""

    http_method_names = ["get", "head", "options"]
    queryset = Notification.objects.all()
    serializer_class = NotificationSerializer
    filterset_class = NotificationFilters
    page_order = ("-id",)

    def get_queryset(self) -> QuerySet[Any]:
        """Return the visible notifications with what is shown of them."""
        return queries.visible_notifications(self.request.user).select_related(*NOTIFICATION_RELATIONS)
