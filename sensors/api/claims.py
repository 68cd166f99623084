"""Sensors that introduce themselves, over HTTP: what a device asks, and what operators decide."""

import logging
from typing import Any, Final

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from sensors import queries, services
from sensors.addresses import client_address
from sensors.api.claim_serializers import (
    AdmittedSerializer,
    ApprovalSerializer,
    ChosenApprovalsSerializer,
    ChosenClaimsSerializer,
    ClaimSerializer,
    ClaimWaitsSerializer,
    DecisionsSerializer,
    PresentedClaimSerializer,
)
from sensors.api.filters import Filters, TextsFilter
from sensors.api.pagination import Pages
from sensors.api.permissions import NetworkPermission, caller, require_role, visible_or_404
from sensors.api.serializers import refuse_body
from sensors.connecting import mqtt_address
from sensors.errors import NotFound
from sensors.limits.claims import ClaimThrottle
from sensors.models import Claim, ClaimState, Gateway, Role
from sensors.services.claims import RETRY_AFTER_S, WrongCode

logger = logging.getLogger(__name__)

_ERROR: Final = {"$ref": "#/components/schemas/Error"}
_NOT_ALL_VISIBLE: Final = OpenApiResponse(_ERROR, "One of them is none that you may see.")


class ClaimFilters(django_filters.FilterSet):
    """`network`, `state` (both repeatable) and `search` of claims."""

    network = TextsFilter(field_name="network__slug", label="Slug; repeatable.")
    state = django_filters.MultipleChoiceFilter(choices=ClaimState.choices, label="Repeatable: any of them.")
    search = django_filters.CharFilter(method="find", label="Part of the identifier, the name or the address.")

    class Meta:
        model = Claim
        fields: list[str] = []

    def find(self, rows: QuerySet, _name: str, text: str) -> QuerySet:
        """Return the rows with `text` in identifier, name or address."""
        return queries.matching(rows, text, "identifier", "name", "address")


_CODE: Final = "7KQ2-9XWB-3MTZ-F0HR-8CVD"
_ASKED: Final = {"claim_code": _CODE, "identifier": "boiler-1", "proof": "q3Tn0_v8Zb1xLk7RyPw2Hd5m", "name": "Boiler"}
_PRESENTED: Final = [
    OpenApiExample("A device", value=_ASKED, request_only=True),
    OpenApiExample(
        "It waits", value={"state": "waiting", "retry_after_s": 15}, response_only=True, status_codes=["202"]
    ),
    OpenApiExample(
        "It was admitted",
        value={
            "state": "collected",
            "username": "boiler-1",
            "client_id": "boiler-1",
            "password": "sKf0p2vQ7wVJm8yT4cZ1hN6bXe3uRgA5",
            "mqtt": {"host": "fleet.example.org", "port": 8883, "tls": True},
        },
        response_only=True,
        status_codes=["200"],
    ),
]


class ClaimsView(APIView):
    """Where devices ask, without a login, and members see who asked."""

    filterset_class = ClaimFilters
    pagination_class = Pages
    page_order = ("-first_asked_at", "-pk")
    queryset = Claim.objects.none()

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return none for devices, for which no session counts; so they need no CSRF token either."""
        return [] if self._is_device() else super().get_authenticators()

    def get_permissions(self) -> list[BasePermission]:
        """Return what lets everybody ask and members look."""
        return [AllowAny() if self._is_device() else NetworkPermission()]

    def get_throttles(self) -> list[BaseThrottle]:
        """Return also the limit of wrong codes, for devices."""
        return [*super().get_throttles(), *([ClaimThrottle()] if self._is_device() else [])]

    def _is_device(self) -> bool:
        return self.request is not None and self.request.method == "POST"

    @extend_schema(
        summary="Claims that you may see, newest first",
        operation_id="claims_list",
        responses=ClaimSerializer(many=True),
        filters=True,
    )
    def get(self, request: Request) -> Response:
        """Return a page of claims."""
        pages = Pages()
        rows = Filters().filter_queryset(request, queries.visible_claims(request.user), self)
        page = pages.paginate_queryset(rows, request, self) or []
        return pages.get_paginated_response([shown(claim) for claim in page])

    @extend_schema(
        summary="Ask for a place in a network (devices)",
        description="Without a login. The same request again is how a device asks whether it was admitted: 202 until"
        " somebody decides, then 200 with its login, for a quarter of an hour or until the sensor was heard; then 410."
        " 403 for every wrong, revoked, expired or used-up code, and for who was refused.",
        operation_id="claims_present",
        auth=[],
        request=PresentedClaimSerializer,
        responses={
            200: AdmittedSerializer,
            202: ClaimWaitsSerializer,
            410: OpenApiResponse(_ERROR, "The login was fetched, given up, or replaced; begin anew with a new proof."),
        },
        examples=_PRESENTED,
    )
    def post(self, request: Request) -> Response:
        """Take the claim, or say how far it is."""
        serializer = PresentedClaimSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        throttle = ClaimThrottle()
        address = client_address(request)
        try:
            login = services.present_claim(values.pop("claim_code"), **values, address=address, now=timezone.now())
        except WrongCode:
            throttle.note_wrong(request)
            # Never the code: it may be a right one with a slip of the finger.
            logger.warning("a claim with a wrong code from %s", address or "an unknown address")
            raise
        if login is None:
            body = {"state": "waiting", "retry_after_s": RETRY_AFTER_S}
            return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Retry-After": str(RETRY_AFTER_S)})
        broker = mqtt_address(request._request)
        return Response(
            {
                "state": "collected",
                "username": login.username,
                "client_id": login.client_id,
                "password": login.password,
                "mqtt": {name: broker[name] for name in ("host", "port", "tls")},
            },
            headers={"Cache-Control": "no-store"},
        )


class ClaimView(APIView):
    """One claim."""

    permission_classes = [NetworkPermission]

    @extend_schema(summary="One claim", operation_id="claims_retrieve", responses=ClaimSerializer)
    def get(self, request: Request, claim: int) -> Response:
        """Return it."""
        return Response(shown(visible_claim(request, claim)))


class ApproveClaimView(APIView):
    """Admits one device."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Admit a device (operators)",
        description="Makes its sensor, and a login that the device fetches when it asks next. 409 if somebody decided"
        " before, the code is used up, or the network has such a sensor and `replace` was not said.",
        operation_id="claims_approve",
        request=ApprovalSerializer,
        responses=ClaimSerializer,
        examples=[OpenApiExample("With a better name", value={"name": "Boiler, north"}, request_only=True)],
    )
    def post(self, request: Request, claim: int) -> Response:
        """Approve it."""
        found = visible_claim(request, claim, role=Role.OPERATOR)
        serializer = ApprovalSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        if (gateway := values.get("gateway")) is not None:
            values["gateway"] = Gateway.objects.filter(network_id=found.network_id, identifier=gateway).first()
            if values["gateway"] is None:
                raise serializers.ValidationError({"gateway": [f"There is no gateway {gateway!r} in this network."]})
        services.approve_claim(found, author=caller(request), now=timezone.now(), **values)
        return Response(shown(visible_claim(request, claim)))


class RefuseClaimView(APIView):
    """Refuses one device."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Refuse a device (operators)",
        description="It hears so whenever it asks; only a new proof begins anew. 409 if somebody decided before.",
        operation_id="claims_refuse",
        request=None,
        responses=ClaimSerializer,
    )
    def post(self, request: Request, claim: int) -> Response:
        """Refuse it."""
        found = visible_claim(request, claim, role=Role.OPERATOR)
        refuse_body(request)
        services.refuse_claim(found, author=caller(request), now=timezone.now())
        return Response(shown(visible_claim(request, claim)))


class ApproveClaimsView(APIView):
    """Admits many devices."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Admit many devices at once (operators)",
        description="Each stands alone: the answer says what became of it. 404, and none is decided, if one of them is"
        " none that you may see.",
        operation_id="claims_approve_many",
        request=ChosenApprovalsSerializer,
        responses={200: DecisionsSerializer, 404: _NOT_ALL_VISIBLE},
    )
    def post(self, request: Request) -> Response:
        """Approve them."""
        serializer = ChosenApprovalsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return _decided(request, serializer.validated_data["claims"], replace=serializer.validated_data["replace"])


class RefuseClaimsView(APIView):
    """Refuses many devices."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Refuse many devices at once (operators)",
        description="As for admitting them.",
        operation_id="claims_refuse_many",
        request=ChosenClaimsSerializer,
        responses={200: DecisionsSerializer, 404: _NOT_ALL_VISIBLE},
    )
    def post(self, request: Request) -> Response:
        """Refuse them."""
        serializer = ChosenClaimsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return _decided(request, serializer.validated_data["claims"], replace=None)


def visible_claim(request: Request, number: int, *, role: Role = Role.VIEWER) -> Any:
    """Return the claim: 404 if invisible, 403 if `role` is not reached."""
    claim = visible_or_404(queries.visible_claims(request.user), "claim", pk=number)
    if role is not Role.VIEWER:
        require_role(request, claim.network, role)
    return claim


def shown(claim: Any) -> dict[str, Any]:
    """Return a row of `visible_claims` as `ClaimSerializer` declares it."""
    waits = claim.state == ClaimState.WAITING
    return {
        "id": claim.pk,
        "network": claim.network.slug,
        "code": claim.code.name,
        "identifier": claim.identifier,
        "name": claim.name,
        "labels": claim.labels,
        "address": claim.address,
        "state": claim.state,
        "first_asked_at": claim.first_asked_at,
        "last_asked_at": claim.last_asked_at,
        "decided_by": claim.decided_by.get_username() if claim.decided_by else None,
        "decided_at": claim.decided_at,
        "is_known": waits and claim.is_known,
        "rivals": claim.waiting_alike - 1 if waits else 0,
    }


def _decided(request: Request, ids: list[int], *, replace: bool | None) -> Response:
    """Decide on all of them; replace None: refuse."""
    rows = queries.visible_claims(request.user).in_bulk(ids)
    chosen = [rows[number] for number in dict.fromkeys(ids) if number in rows]
    if len(chosen) < len(set(ids)):
        missing = next(number for number in ids if number not in rows)
        raise NotFound(f"No claim {missing} that you may see.")
    for network in {claim.network_id: claim.network for claim in chosen}.values():
        require_role(request, network, Role.OPERATOR)
    results = services.decide_claims(
        chosen, approve=replace is not None, replace=bool(replace), author=caller(request), now=timezone.now()
    )
    failed = sum(result.error is not None for result in results)
    rendered = [
        {"id": each.id, "identifier": each.identifier, "state": each.state, "error": each.error} for each in results
    ]
    return Response({"decided": len(results) - failed, "failed": failed, "results": rendered})
