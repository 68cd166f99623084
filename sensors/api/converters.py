"""Path converters: what cannot name a sensor or network never reaches a view, and the answer is 404.

Importing this module registers `<identifier:…>` and `<network:…>` for `django.urls.path`.
"""

from django.urls import register_converter

from sensors.wire import IDENTIFIER_PATTERN, SLUG_PATTERN


class IdentifierConverter:
    """The identifier of a sensor or gateway."""

    regex = IDENTIFIER_PATTERN

    def to_python(self, value: str) -> str:
        """Return `value` as it is."""
        return value

    def to_url(self, value: str) -> str:
        """Return `value` as it is."""
        return value


class NetworkConverter(IdentifierConverter):
    """The slug of a network."""

    regex = SLUG_PATTERN


register_converter(IdentifierConverter, "identifier")
register_converter(NetworkConverter, "network")
