"""Sensors by status, for each network that the caller may see."""

from datetime import datetime
from typing import Any

from django.db.models import Count
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.api.stats import StatusCountsSerializer
from sensors import queries
from sensors.api.filters import refuse_unknown_parameters


class NetworkCountsSerializer(StatusCountsSerializer):
    """One network's sensors by status."""

    network = serializers.CharField(help_text="Slug.")


class NetworkCountsPageSerializer(serializers.Serializer):
    """All networks on one page, in the form of every list."""

    next = serializers.URLField(allow_null=True, help_text="Always null.")
    previous = serializers.URLField(allow_null=True, help_text="Always null.")
    results = NetworkCountsSerializer(many=True)


_EXAMPLE = OpenApiExample(
    "Two networks",
    value={
        "next": None,
        "previous": None,
        "results": [
            {"network": "greenhouse", "total": 0, "new": 0, "up": 0, "late": 0, "down": 0},
            {"network": "plant", "total": 20, "new": 1, "up": 17, "late": 1, "down": 1},
        ],
    },
    response_only=True,
)


class NetworkStatsView(APIView):
    """Sensors by status, for each network that the caller may see."""

    @extend_schema(
        summary="Sensors by network and status",
        operation_id="stats_networks",
        responses=NetworkCountsPageSerializer,
        examples=[_EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        """Return all of them on one page, by slug."""
        refuse_unknown_parameters(request, ())
        results = network_counts(request.user, now=timezone.now())
        return Response({"next": None, "previous": None, "results": results})


def network_counts(user: queries.AnyUser, *, now: datetime) -> list[dict[str, Any]]:
    """Return the counts of each network that `user` may see, by slug; networks without sensors have zeros.

    Three queries, however many networks there are.
    """
    counts = {
        slug: {"network": slug, "total": 0, **dict.fromkeys(queries.STATUSES, 0)}
        for slug in queries.visible_networks(user).order_by("slug").values_list("slug", flat=True)
    }
    sensors = queries.with_status(queries.visible_sensors(user), at=queries.judged_at(now))
    rows = sensors.order_by().values_list("network__slug", "status").annotate(number=Count("pk"))
    for slug, status, number in rows:
        # A network made between the two queries is shown next time.
        if slug in counts:
            counts[slug][status] = number
            counts[slug]["total"] += number
    return list(counts.values())
