"""What the admin does with sensors' credentials: issue, rotate, revoke, each after a question."""

import csv
from typing import Any, Final

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.decorators import action

from sensors import services
from sensors.errors import DomainError, NotFound
from sensors.models import Sensor, User

# What one request may do; more are for `manage.py credentials`. The question sends a field for each sensor and a few of
# its own, and Django takes 1,000 fields (DATA_UPLOAD_MAX_NUMBER_FIELDS).
MOST: Final = 900


class CredentialActions:
    """The actions of the list of sensors; a mixin of its admin page."""

    actions = ("issue_credentials", "revoke_credentials")

    @action(description="Issue new credentials (a file of logins, this once)", permissions=["change"])
    def issue_credentials(self, request: HttpRequest, queryset: QuerySet[Sensor]) -> HttpResponse | None:
        """Answer with the new logins as CSV, after the question; older ones end, and who is connected by them."""
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
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="credentials.csv"'
        lines = csv.writer(response)
        lines.writerow(["username", "client_id", "password"])
        lines.writerows([login.username, login.client_id, login.password] for login in logins)
        return response

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
        admin: Any = self
        chosen = Sensor.objects.filter(pk__in=queryset.values("pk")).order_by("identifier")
        sensors = list(chosen[: MOST + 1])
        if len(sensors) > MOST:
            self._tell(
                request, f"More than {MOST:,} at once take `manage.py credentials`; nothing was done.", messages.ERROR
            )
            return [], None
        if request.POST.get("confirmed") == "yes":
            return sensors, None
        context = {
            **admin.admin_site.each_context(request),
            "title": "Are you sure?",
            "opts": admin.opts,
            "question": question,
            "chosen": sensors,
            "action": name,
        }
        request.current_app = admin.admin_site.name  # type: ignore[attr-defined]
        return [], TemplateResponse(request, "sensors/confirm_credentials.html", context)

    def _tell(self, request: HttpRequest, words: str, level: int) -> None:
        admin: Any = self
        admin.message_user(request, words, level)


def _author(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None
