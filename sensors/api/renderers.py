"""How answers become JSON, and what happens to those that do not."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

_default: Final = JSONEncoder().default


def _simpler(value: object) -> object:
    """Return `value` as something that msgspec encodes: a kind of str (REST framework's ErrorDetail) as a str."""
    return str(value) if isinstance(value, str) else _default(value)


_encoder: Final = msgspec.json.Encoder(enc_hook=_simpler)


class FastJSONRenderer(JSONRenderer):
    """JSON by msgspec.

    Takes what its base class takes, and `msgspec.Raw` for what is JSON already. Times are ISO 8601 and end in Z
    where they are UTC.
    """

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return `data` as JSON, indented if the caller accepts `application/json; indent=N`."""
        if data is None:
            return b""
        indent = self.get_indent(accepted_media_type or "", renderer_context or {})
        encoded = _encoder.encode(data)
        return msgspec.json.format(encoded, indent=indent) if indent else encoded


class AnyAccepted(BaseContentNegotiation):
    """`format` alone says what is wanted; errors are JSON whatever the caller accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type
