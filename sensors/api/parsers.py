"""JSON as the API takes it: every number finite, no key twice. Django bounds its length before."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class StrictJSONParser(JSONParser):
    """Refuses what JSON does not allow and Python's parser does: NaN, Infinity, 1e999, a key given twice."""

    finite_only = True

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the parsed body; ParseError says what is wrong with it."""
        try:
            return json.loads(
                stream.read().decode(),
                parse_constant=self._constant,
                parse_float=self._float,
                object_pairs_hook=_object,
            )
        except RecursionError as error:
            raise ParseError("The body is nested too deeply.") from error
        except ValueError as error:
            raise ParseError(f"The body is no JSON: {error}") from error

    def _constant(self, text: str) -> float:
        if self.finite_only:
            raise ValueError(f"{text} is no number in JSON")
        return float(text)

    def _float(self, text: str) -> float:
        number = float(text)
        if self.finite_only and not math.isfinite(number):
            raise ValueError(f"{text[:50]} is beyond a double")
        return number


class LenientNumbersParser(StrictJSONParser):
    """Lets NaN and Infinity through to a view that names the key which holds them."""

    finite_only = False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the key {name[:50]!r} is given twice")
            seen.add(name)
    return found
