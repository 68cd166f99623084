"""What the admin does with sensors' credentials: issue, rotate, revoke, each after a question."""

import base64
from typing import Any, Final, cast

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action

from sensors import services
from sensors.admin_base import admin_page, ask_first
from sensors.errors import DomainError, NotFound
from sensors.models import Sensor, User
from sensors.spreadsheets import csv_lines

# What one request may do; more are for `manage.py credentials`. The question sends a field for each sensor and a few of
# its own, and Django takes 1,000 fields (DATA_UPLOAD_MAX_NUMBER_FIELDS).
MOST: Final = 900


class CredentialActions:
    """The actions of the list of sensors; a mixin of its admin page."""

    actions = ("issue_credentials", "revoke_credentials")

    @action(description="Issue new credentials (a file of logins, this once)", permissions=["change"])
    def issue_credentials(self, request: HttpRequest, queryset: QuerySet[Sensor]) -> HttpResponse | None:
        """Show the new logins, with the same as a file, after the question; older ones end, with their connections.

        A page and not the file alone: a browser that only downloads stays at the question, and to answer it once more
        makes what was downloaded worthless.
        """
        question = (
            "Issue new credentials to these sensors? Older ones end, and whoever is connected by them is thrown out."
        )
        sensors, page = self._asked(request, queryset, question, "issue_credentials")
        if not sensors:
            return page
        try:
            logins = services.issue_credentials(sensors, author=_author(request), now=timezone.now())
        except DomainError as error:
            self._tell(request, error.detail, messages.ERROR)
            return None
        file = csv_lines(
            [
                ("username", "client_id", "password"),
                *((login.username, login.client_id, login.password) for login in logins),
            ]
        )
        return admin_page(
            cast(ModelAdmin, self),
            request,
            "sensors/issued_credentials.html",
            title="New credentials",
            logins=logins,
            # The policy of pages allows no script of the page's own; a link needs none.
            file=f"data:text/csv;charset=utf-8;base64,{base64.b64encode(file).decode()}",
        )

    @action(description="Revoke credentials", permissions=["change"])
    def revoke_credentials(self, request: HttpRequest, queryset: QuerySet[Sensor]) -> HttpResponse | None:
        """Revoke them, after the question, and say how many there were."""
        question = "Revoke the credentials of these sensors? The broker throws them out and lets them in no more."
        sensors, page = self._asked(request, queryset, question, "revoke_credentials")
        if not sensors:
            return page
        revoked = 0
        for sensor in sensors:
            try:
                services.revoke_credential(sensor, author=_author(request), now=timezone.now())
                revoked += 1
            except NotFound:
                # It has none.
                continue
        self._tell(request, f"{revoked:,} of {len(sensors):,} had a credential, which is revoked.", messages.SUCCESS)
        return None

    def _asked(
        self, request: HttpRequest, queryset: QuerySet[Sensor], question: str, name: str
    ) -> tuple[list[Sensor], HttpResponse | None]:
        """Return the chosen sensors once the question was answered; until then none, and the page that asks."""
        chosen = Sensor.objects.filter(pk__in=queryset.values("pk")).order_by("identifier")
        sensors = list(chosen[: MOST + 1])
        if len(sensors) > MOST:
            self._tell(
                request, f"More than {MOST:,} at once take `manage.py credentials`; nothing was done.", messages.ERROR
            )
            return [], None
        if request.POST.get("confirmed") == "yes":
            return sensors, None
        return [], ask_first(
            cast(ModelAdmin, self), request, question, sensors, name, template="sensors/confirm_credentials.html"
        )

    def _tell(self, request: HttpRequest, words: str, level: int) -> None:
        admin: Any = self
        admin.message_user(request, words, level)


def _author(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None
