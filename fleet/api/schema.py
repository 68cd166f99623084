"""The OpenAPI document: how callers authenticate, which errors every operation may answer, and its page."""

from typing import Any, Final

from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """`Authorization: Bearer <token>`, or the token as `X-API-Key`."""

    target_class = "sensors.api.authentication.BearerAuthentication"
    name = ["token", "apiKey"]  # type: ignore[assignment]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return the two schemes' descriptions."""
        what = "A token of `POST /api/v1/tokens/`, `POST /api/v1/auth/token/` or `manage.py create_token`"
        return [
            {"type": "http", "scheme": "bearer", "description": f"{what}."},
            {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": f"{what}, for programs that cannot set `Authorization`.",
            },
        ]


class BrokerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """BROKER_AUTH_SECRET, with which a broker asks."""

    target_class = "sensors.api.broker.BrokerAuthentication"
    name = ["brokerBearer", "brokerBasic"]  # type: ignore[assignment]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return the two schemes' descriptions."""
        what = "BROKER_AUTH_SECRET of the service's settings"
        return [
            {"type": "http", "scheme": "bearer", "description": f"{what}."},
            {"type": "http", "scheme": "basic", "description": f"{what} as the password; the username is ignored."},
        ]


class SchemaView(SpectacularAPIView):
    """The OpenAPI document; it tells of no data, so everybody may read it."""

    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []
    throttle_classes: list[Any] = []


# The page builds elements with inline styles; scripts stay restricted to this server.
@method_decorator(csp_update({"style-src": ["'self'", "'unsafe-inline'"]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """The page on which the API can be read and tried."""

    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []


_ERROR: Final = {
    "type": "object",
    "description": '`{"detail": text}`, or the names of the fields that are wrong with what is wrong about each.',
    "properties": {"detail": {"type": "string"}},
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
    "example": {"detail": "This needs the role operator in the network; you have the role viewer."},
}
_UNSAFE: Final = ("post", "put", "patch", "delete")
_TEXTS: Final = {
    400: "The body or a parameter is wrong; the answer names it.",
    401: "No valid token or session.",
    403: "Your role does not allow it, or a session's CSRF token is missing.",
    404: "There is no such thing that you may see.",
    409: "Something else came first, or stands against it.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    429: "Too many requests; Retry-After says how many seconds to wait.",
    503: "The database does not answer at the moment.",
}


def add_errors(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Return the document with the errors that any operation may answer, where it does not name them itself."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = _ERROR
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            for status in _statuses(path, method, operation):
                response: dict[str, Any] = {
                    "description": _TEXTS[status],
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
                if status == 429:
                    response["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
                operation["responses"].setdefault(str(status), response)
    return result


def _statuses(path: str, method: str, operation: dict[str, Any]) -> list[int]:
    statuses = [401, 429, 503]
    if operation.get("parameters") or "requestBody" in operation:
        statuses.append(400)
    if "{" in path:
        statuses.append(404)
    if method in _UNSAFE:
        statuses += [403, 409]
    if "requestBody" in operation:
        statuses += [413, 415]
    return sorted(statuses)
