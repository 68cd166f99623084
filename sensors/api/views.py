"""Networks, their members, gateways. Sensors are composed with their configuration in fleet.api."""

from typing import Any

from django.db.models import Case, CharField, OuterRef, QuerySet, Subquery, Value, When
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from sensors import queries, services
from sensors.api.filters import GatewayFilters, refuse_unknown_parameters
from sensors.api.pagination import Pages
from sensors.api.permissions import (
    NetworkPermission,
    caller,
    require_role,
    require_whole,
    visible_network,
    visible_or_404,
)
from sensors.api.serializers import GatewaySerializer, MemberSerializer, NetworkSerializer
from sensors.models import Gateway, Membership, Network, Role, User
from sensors.wire import IDENTIFIER_PATTERN, SLUG_PATTERN


class ListViewSet(GenericViewSet):
    """List what the caller may see."""

    permission_classes = [NetworkPermission]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    # Row counts of the page, its filters and its order are all that a list reads; set by each view.
    page_order: tuple[str, ...] = ("-pk",)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        """Filter lists only: a single row is found by its name alone."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset


class FleetViewSet(ListViewSet):
    """List and retrieve what the caller may see; subclasses add the verbs that call services."""

    # What cannot be a row's id is 404 before it reaches the database.
    lookup_value_regex = r"\d{1,18}"

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one row."""
        return Response(self.get_serializer(self.get_object()).data)

    def validated(self, instance: Any = None) -> dict[str, Any]:
        """Return the body's values; ValidationError (400) names the fields that are wrong."""
        serializer = self.get_serializer(instance, data=self.request.data, partial=instance is not None)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data


@extend_schema_view(
    list=extend_schema(summary="Networks that you may see"),
    retrieve=extend_schema(summary="One network"),
    create=extend_schema(summary="Make a network and own it"),
    partial_update=extend_schema(summary="Change name or retention"),
    destroy=extend_schema(summary="Delete a network with its sensors (owners)"),
)
class NetworkViewSet(FleetViewSet):
    """Networks: the unit of access. Any user may make one and becomes its owner."""

    queryset = Network.objects.all()
    serializer_class = NetworkSerializer
    lookup_field = "slug"
    lookup_value_regex = SLUG_PATTERN
    page_order = ("slug",)
    write_role = Role.OPERATOR
    delete_role = Role.OWNER

    def get_queryset(self) -> QuerySet[Network]:
        """Return the visible networks with the caller's role in each."""
        user = caller(self.request)
        networks = queries.visible_networks(user)
        if user.is_staff:
            role = queries.limited(Role.OWNER, user)
            return networks.annotate(role=Value(role.value, output_field=CharField()))
        own = Membership.objects.filter(network=OuterRef("pk"), user=user)
        # Each role as what the caller's token leaves of it.
        left = [When(role=role, then=Value(queries.limited(role, user).value)) for role in Role]
        return networks.annotate(role=Subquery(own.values(left=Case(*left, output_field=CharField()))[:1]))

    def network_of(self, network: Network) -> Network:
        """Return the network in which the caller's role counts."""
        return network

    def create(self, request: Request) -> Response:
        """Make a network; the caller becomes its owner."""
        require_whole(request)
        network = services.create_network(**self.validated(), owner=caller(request))
        return Response(self._shown(network), status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, slug: str) -> Response:
        """Change what was sent."""
        network = self.get_object()
        return Response(self._shown(services.update_network(network, **self.validated(network))))

    def destroy(self, request: Request, slug: str) -> Response:
        """Delete it with all that belongs to it."""
        services.delete_network(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _shown(self, network: Network) -> dict[str, Any]:
        return self.get_serializer(self.get_queryset().get(pk=network.pk)).data


class MembersView(APIView):
    """Who may do what in a network. Members see it; owners change it."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Members of a network",
        operation_id="networks_members_list",
        responses=MemberSerializer(many=True),
        filters=True,
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return a page of members by username."""
        network = visible_network(request, slug)
        refuse_unknown_parameters(request, ("limit", "cursor"))
        pages = Pages()
        members = Membership.objects.filter(network=network).select_related("user")
        rows = pages.paginate_queryset(members, request, self)
        return pages.get_paginated_response(MemberSerializer(rows, many=True).data)

    page_order = ("user__username",)
    pagination_class = Pages

    @extend_schema(
        summary="Add a member or change their role (owners)",
        operation_id="networks_members_set",
        request=MemberSerializer,
        responses={200: MemberSerializer, 201: MemberSerializer},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Set a member: 201 if they are new, 200 if only the role was changed."""
        network = visible_network(request, slug, role=Role.OWNER)
        serializer = MemberSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        username = serializer.validated_data["user"]["username"]
        user = User.objects.filter(username=username).first()
        if user is None:
            raise ValidationError({"user": [f"There is no user {username!r}; invite them by a link instead."]})
        member, is_new = services.set_member(network, user=user, role=serializer.validated_data["role"])
        return Response(MemberSerializer(member).data, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


@extend_schema(parameters=[OpenApiParameter("username", str, OpenApiParameter.PATH)])
class MemberView(APIView):
    """One member of a network. Members see it; owners change it, and anybody may leave."""

    permission_classes = [NetworkPermission]
    serializer_class = MemberSerializer

    @extend_schema(summary="One member")
    def get(self, request: Request, slug: str, username: str) -> Response:
        """Return the member."""
        return Response(MemberSerializer(self._member(visible_network(request, slug), username)).data)

    @extend_schema(summary="Change a member's role (owners)")
    def patch(self, request: Request, slug: str, username: str) -> Response:
        """Change the role."""
        network = visible_network(request, slug, role=Role.OWNER)
        member = self._member(network, username)
        serializer = MemberSerializer(member, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        role = serializer.validated_data.get("role", member.role)
        changed, _ = services.set_member(network, user=member.user, role=role)
        return Response(MemberSerializer(changed).data)

    @extend_schema(summary="Remove a member (owners; anybody themselves)", responses={204: None})
    def delete(self, request: Request, slug: str, username: str) -> Response:
        """End the membership."""
        network = visible_network(request, slug)
        if username == request.user.get_username():
            require_whole(request)
        else:
            require_role(request, network, Role.OWNER)
        services.remove_member(network, user=self._member(network, username).user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _member(self, network: Network, username: str) -> Membership:
        members = Membership.objects.filter(network=network).select_related("user")
        return visible_or_404(members, "member", user__username=username)


@extend_schema_view(
    list=extend_schema(summary="Gateways that you may see"),
    retrieve=extend_schema(summary="One gateway"),
    create=extend_schema(summary="Make a gateway (operators)"),
    partial_update=extend_schema(summary="Rename a gateway (operators)"),
    destroy=extend_schema(summary="Delete a gateway; its sensors stay (operators)"),
)
class GatewayViewSet(FleetViewSet):
    """Gateways: boxes through which several sensors of one network reach the broker."""

    queryset = Gateway.objects.all()
    serializer_class = GatewaySerializer
    filterset_class = GatewayFilters
    lookup_field = "identifier"
    lookup_value_regex = IDENTIFIER_PATTERN
    page_order = ("identifier",)

    def get_queryset(self) -> QuerySet[Gateway]:
        """Return the visible gateways."""
        return queries.visible_gateways(self.request.user).select_related("network")

    def create(self, request: Request) -> Response:
        """Make a gateway in a network."""
        values = self.validated()
        require_role(request, values["network"], Role.OPERATOR)
        gateway = services.create_gateway(values.pop("network"), **values)
        return Response(self.get_serializer(gateway).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, identifier: str) -> Response:
        """Change the name."""
        gateway = self.get_object()
        values = self.validated(gateway)
        if values:
            services.update_gateway(gateway, **values)
        return Response(self.get_serializer(gateway).data)

    def destroy(self, request: Request, identifier: str) -> Response:
        """Delete it."""
        services.delete_gateway(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
