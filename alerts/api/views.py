"""Rules, alerts and silences over HTTP."""

from collections.abc import Sequence
from dataclasses import asdict
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
from alerts.api.filters import AlertFilters, RuleFilters, SilenceFilters
from alerts.api.serializers import (
    AcknowledgeSerializer,
    AlertSerializer,
    BacktestResultSerializer,
    BacktestSerializer,
    EmptySerializer,
    MatchSerializer,
    RuleSerializer,
    SilenceSerializer,
)
from alerts.backtest import MAX_EPISODES, MAX_SAMPLES, backtest
from alerts.models import Alert, Rule, RuleKind, RuleScope, Silence
from alerts.rendering import RULE_RELATIONS, alert_json
from sensors.api.permissions import caller
from sensors.api.views import FleetViewSet
from sensors.errors import Invalid
from telemetry.queries import time_limit


@extend_schema_view(
    list=extend_schema(summary="Rules that you may see", examples=examples.RULE),
    retrieve=extend_schema(summary="One rule", examples=examples.RULE),
    create=extend_schema(summary="Make a rule (operators)", examples=examples.RULES),
    partial_update=extend_schema(
        summary="Change a rule (operators)",
        description="Whatever is open by its old form is resolved, unless only the name changes. `network`, `sensors`"
        " or `labels` set another scope in the same network.",
        examples=examples.RULE,
    ),
    destroy=extend_schema(summary="Delete a rule; its open alerts are resolved and stay (operators)"),
)
class RuleViewSet(FleetViewSet):
    """What to watch. A rule holds for every sample that is received after it was made."""

    queryset = Rule.objects.all()
    serializer_class = RuleSerializer
    filterset_class = RuleFilters
    page_order = ("id",)

    def get_queryset(self) -> QuerySet[Rule]:
        """Return the visible rules with what is shown of them."""
        return queries.visible_rules(self.request.user).select_related(*RULE_RELATIONS).prefetch_related("sensors")

    def create(self, request: Request) -> Response:
        """Make a rule."""
        values = self.validated()
        scope = self._scope(values)
        rule = services.create_rule(scope.network, **values, **_scope_arguments(scope), author=caller(request))
        return Response(self._shown(rule), status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what was sent."""
        rule = self.get_object()
        changes = self.validated(rule)
        named = {name: changes.pop(name, None) for name in _NAMED}
        if any(value is not None for value in named.values()):
            home = rule.network.slug
            if named["network"] not in (None, home):
                raise Invalid(f"This never changes; it is {home!r}.", field="network")
            scope = services.find_scope(request.user, **(named | {"network": home}))
            changes |= {"scope": scope.scope, **_scope_arguments(scope)}
        return Response(self._shown(services.update_rule(rule, now=timezone.now(), **changes)))

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete it."""
        services.delete_rule(self.get_object(), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="How many sensors a rule would cover (operators)",
        description="Takes a rule's body, of which the scope and the kind count, and saves nothing.",
        responses=MatchSerializer,
        examples=examples.MATCHED,
    )
    @action(detail=False, methods=["post"])
    def match(self, request: Request) -> Response:
        """Count the sensors."""
        serializer = RuleSerializer(data=request.data, partial=True, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        scope = self._scope(values)
        count = scope.covered(kind=values.get("kind", RuleKind.THRESHOLD)).count()
        return Response({"network": scope.network.slug, "scope": scope.scope, "sensors": count})

    @extend_schema(
        summary="What a rule would have found in the past (operators)",
        description="Takes a rule's body and a range, and saves nothing. What sensors measured is evaluated as if it"
        f" had come in the order in which it was measured. At most {MAX_SAMPLES:,} values;"
        f" {MAX_EPISODES:,} episodes are listed and all are counted. `name` may be left out.",
        request=BacktestSerializer,
        responses=BacktestResultSerializer,
        examples=examples.BACKTESTS,
    )
    @action(detail=False, methods=["post"])
    def backtest(self, request: Request) -> Response:
        """Evaluate what is stored."""
        serializer = BacktestSerializer(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        values = {"name": "backtest", **serializer.validated_data}
        start, end = values.pop("start"), values.pop("end", timezone.now())
        for unused in ("enabled", "severity"):
            values.pop(unused, None)
        scope = self._scope(values)
        rule = services.draft_rule(scope.network, **values, **_scope_arguments(scope))
        sensors = scope.covered(kind=rule.kind).order_by("identifier").iterator()
        with time_limit():
            found = backtest(rule, sensors, start=start, end=end)
        shown = {"network": scope.network.slug, "scope": scope.scope, "start": start, "end": end}
        return Response(shown | asdict(found))

    def _scope(self, values: dict[str, Any]) -> services.Scope:
        """Take the scope out of `values` and return it."""
        named = {name: values.pop(name, None) for name in _NAMED}
        return services.find_scope(self.request.user, **named)

    def _shown(self, rule: Rule) -> dict[str, Any]:
        return self.get_serializer(self.get_queryset().get(pk=rule.pk)).data


_NAMED = ("network", "sensors", "labels")


def _scope_arguments(scope: services.Scope) -> dict[str, Any]:
    return {
        "sensors": scope.sensors if scope.scope == RuleScope.SENSORS else None,
        "labels": scope.labels if scope.scope == RuleScope.LABELS else None,
    }


@extend_schema_view(
    list=extend_schema(summary="Alerts that you may see, newest first", examples=examples.ALERT),
    retrieve=extend_schema(summary="One alert", examples=examples.ALERT),
)
class AlertViewSet(FleetViewSet):
    """Episodes in which a rule was violated."""

    queryset = Alert.objects.all()
    serializer_class = AlertSerializer
    filterset_class = AlertFilters
    page_order = ("-started_at", "-id")

    def get_queryset(self) -> QuerySet[Alert]:
        """Return the visible alerts."""
        return queries.visible_alerts(self.request.user)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(_rendered(page or []))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one alert."""
        return Response(_rendered([self.get_object()])[0])

    @extend_schema(
        summary="Acknowledge an open alert (operators)",
        description="It stays acknowledged until it is resolved. 409 if it is resolved, or was acknowledged by"
        " somebody else.",
        request=AcknowledgeSerializer,
        responses=AlertSerializer,
        examples=examples.ACKNOWLEDGED,
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Record who saw it."""
        alert = self.get_object()
        body = AcknowledgeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        alert = services.acknowledge_alert(alert, user=caller(request), now=timezone.now(), **body.validated_data)
        return Response(_rendered([alert])[0])

    @extend_schema(
        summary="Resolve an open alert by hand (operators)",
        description="Another one is opened only by a new violating sample, or by a new silence. 409 if it is"
        " resolved already.",
        request=EmptySerializer,
        responses=AlertSerializer,
        examples=examples.ALERT,
    )
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """Resolve it."""
        alert = self.get_object()
        EmptySerializer(data=request.data).is_valid(raise_exception=True)
        return Response(_rendered([services.resolve_alert(alert, user=caller(request), now=timezone.now())])[0])


def _rendered(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    silenced = queries.silenced_alerts(alerts, at=timezone.now())
    return [alert_json(alert, is_silenced=alert.pk in silenced) for alert in alerts]


@extend_schema_view(
    list=extend_schema(summary="Silences that you may see, newest first", examples=examples.SILENCE),
    retrieve=extend_schema(summary="One silence", examples=examples.SILENCE),
    create=extend_schema(summary="Silence matching alerts (operators)", examples=examples.SILENCES),
    partial_update=extend_schema(summary="Change span or comment (operators)", examples=examples.SILENCE),
    destroy=extend_schema(summary="Delete a silence (operators)"),
)
class SilenceViewSet(FleetViewSet):
    """Spans of time in which matching alerts disturb nobody; they are still recorded."""

    queryset = Silence.objects.all()
    serializer_class = SilenceSerializer
    filterset_class = SilenceFilters
    page_order = ("-starts_at", "-id")

    def get_queryset(self) -> QuerySet[Silence]:
        """Return the visible silences."""
        return queries.visible_silences(self.request.user).select_related("network", "created_by")

    def create(self, request: Request) -> Response:
        """Make a silence."""
        silence = services.create_silence(user=caller(request), now=timezone.now(), **self.validated())
        return Response(self.get_serializer(silence).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what was sent."""
        silence = self.get_object()
        return Response(self.get_serializer(services.update_silence(silence, **self.validated(silence))).data)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete it."""
        services.delete_silence(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
