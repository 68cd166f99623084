"""How every error of the API looks: `{"detail": text}` or `{field: [text]}`, and nothing else."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import InterfaceError, OperationalError
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from sensors.errors import Conflict, DomainError, Forbidden, Gone, Invalid, NotFound

logger = logging.getLogger(__name__)

_STATUSES: Final[tuple[tuple[type[DomainError], int], ...]] = (
    (Invalid, status.HTTP_400_BAD_REQUEST),
    (Forbidden, status.HTTP_403_FORBIDDEN),
    (NotFound, status.HTTP_404_NOT_FOUND),
    (Conflict, status.HTTP_409_CONFLICT),
    (Gone, status.HTTP_410_GONE),
)
_NO_FIELD: Final = ("non_field_errors", "__all__")


def handle_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response for `error`, or None for what is a defect and answered with 500.

    A database that is away is 503 with Retry-After: the request may be sent again as it is.
    """
    if isinstance(error, DomainError):
        set_rollback()
        return Response(domain_error_body(error), status=_status_of(error))
    if isinstance(error, ModelValidationError):
        error = ValidationError(getattr(error, "message_dict", None) or error.messages)
    if isinstance(error, (OperationalError, InterfaceError)):
        logger.warning("the database did not answer a request: %s", type(error).__name__)
        body = {"detail": "The database does not answer at the moment. Try again in a few seconds."}
        return Response(body, status=status.HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": "5"})
    if isinstance(error, RequestDataTooBig):
        body = {"detail": f"The body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes."}
        return Response(body, status=status.HTTP_413_REQUEST_ENTITY_TOO_LARGE)
    response = exception_handler(error, context)
    if response is not None and isinstance(error, APIException):
        response.data = error_body(response.data)
    return response


def domain_error_body(error: DomainError) -> dict[str, Any]:
    """Return `{field: [detail]}` where the error names a field, else `{"detail": detail}`."""
    return {"detail": error.detail} if error.field is None else {error.field: [error.detail]}


def error_body(data: object) -> dict[str, Any]:
    """Return `data`, an error as Django REST framework nests it, as `{"detail"}` or `{field: [text]}`."""
    if not isinstance(data, Mapping):
        return {"detail": " ".join(_texts(data))}
    body: dict[str, Any] = {}
    unnamed: list[str] = []
    for field, value in data.items():
        if field in _NO_FIELD:
            unnamed.extend(_texts(value))
        elif field == "detail" and len(data) == 1:
            return {"detail": " ".join(_texts(value))}
        else:
            body[_printable(field)] = _texts(value)
    if not body:
        return {"detail": " ".join(unnamed)}
    if unnamed:
        body["detail"] = unnamed
    return body


def _texts(value: object, where: str = "") -> list[str]:
    """Return all texts in `value`, each after the path at which it was found."""
    if isinstance(value, Mapping):
        return [text for key, item in value.items() for text in _texts(item, f"{where}{key}: ")]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item, where)]
    return [_printable(f"{where}{value}")]


def _printable(text: object) -> str:
    """Return the text with lone surrogates escaped: a field's name may come from the request's body."""
    return str(text).encode(errors="backslashreplace").decode()


def _status_of(error: DomainError) -> int:
    return next((code for kind, code in _STATUSES if isinstance(error, kind)), status.HTTP_400_BAD_REQUEST)
