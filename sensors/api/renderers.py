"""How answers become JSON."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from rest_framework.renderers import JSONRenderer
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
