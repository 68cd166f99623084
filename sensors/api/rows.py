"""Pages of rows that go from the database to the caller as they are.

A model instance and a serializer for each row are most of what a page costs: without them one of 100 newest values took
5 ms of the web process instead of 14. Here a view names columns, and rows are dictionaries of them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet, TextField
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast
from psycopg.types.datetime import TimestamptzLoader

from sensors.api.pagination import Pages

# From a field's name in the answer to the column, path or expression that fills it.
Columns = Mapping[str, str | Combinable]


class RawJSON(Cast):
    """A jsonb column as the text that it is, which the answer takes over without reading it."""

    def __init__(self, column: str) -> None:
        super().__init__(column, TextField())


class RowPages(Pages):
    """Pages whose rows are dictionaries of `columns`, ready to be rendered."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def read(self, rows: QuerySet[Any, Any]) -> list[Any]:
        """Return the rows as tuples: the columns, then what the page's order needs besides."""
        sources = list(self._columns.values())
        order = [name.removeprefix("-") for name in self.order]
        missing = [name for name in order if name not in sources]
        found = [*sources, *missing]
        self._places = {name: found.index(name) for name in order}
        return read_rows(rows.values_list(*found))

    def value_at(self, row: Any, path: str) -> Any:
        """Return what the row has in a column of the page's order."""
        return row[self._places[path]]

    def results(self) -> list[dict[str, Any]]:
        """Return the page's rows by name; JSON among them as `msgspec.Raw`."""
        names = list(self._columns)
        raw = [name for name, source in self._columns.items() if isinstance(source, RawJSON)]
        # Ends with the columns: what only the order needed is not shown.
        results = [dict(zip(names, row, strict=False)) for row in self.page]
        for name in raw:
            for result in results:
                result[name] = msgspec.Raw(result[name])
        return results


def read_rows(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a `values_list` queryset, as PostgreSQL's own types.

    Times are aware and UTC. jsonb is read by Python's parser unless it is cast to text.
    """
    try:
        query, values = rows.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        # psycopg's own reader, which is written in C and which Django replaces by one for naive times as well.
        cursor.cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        cursor.execute(query, values)
        return cursor.fetchall()
