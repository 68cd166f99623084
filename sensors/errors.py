"""What the domain refuses. Services raise these; the API and the admin turn them into answers for a person."""


class DomainError(Exception):
    """A request that cannot be carried out, in words for the person who made it.

    field: the input that is wrong, by its name in the API; None if no single one is.
    code: a stable word for programs.
    """

    code = "refused"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class Invalid(DomainError):  # noqa: N818 - says what it is, as in `raise Invalid`
    """The input itself is wrong; sending it again cannot help. HTTP 400."""

    code = "invalid"


class IdentifierTaken(Invalid):
    """Somebody has that identifier or slug already; they are unique across all networks. HTTP 400."""

    code = "taken"


class Forbidden(DomainError):  # noqa: N818 - says what it is, as in `raise Forbidden`
    """The user may see it and may not do this with it. HTTP 403."""

    code = "forbidden"


class NotFound(DomainError):  # noqa: N818 - says what it is, as in `raise NotFound`
    """It is not there, perhaps not any more. HTTP 404."""

    code = "not_found"


class Conflict(DomainError):  # noqa: N818 - says what it is, as in `raise Conflict`
    """Something else came first, or stands against it; reading the current state helps. HTTP 409."""

    code = "conflict"


class Gone(DomainError):  # noqa: N818 - says what it is, as in `raise Gone`
    """It was there, and is over for good; asking again in the same way cannot help. HTTP 410."""

    code = "gone"
