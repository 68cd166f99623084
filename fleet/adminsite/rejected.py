"""The admin page of rejected messages, with what only this package can do: take them in again."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import action

from fleet.ingest.again import reingest, reingestible
from telemetry.admin import RejectedMessageAdmin
from telemetry.models import RejectedMessage

# What one request may take; some ten seconds.
MOST = 1_000

# Imported above, so that it is registered and can be replaced by one with the action.
admin.site.unregister(RejectedMessage)


@admin.register(RejectedMessage)
class RejectedAdmin(RejectedMessageAdmin):
    """What came in and could not be stored, why, and the way to take it in again."""

    actions = ("reingest",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Return whether the caller may take messages in again."""
        return request.user.has_perm("telemetry.change_rejectedmessage")

    @action(description="Take in again", permissions=["operate"])
    def reingest(self, request: HttpRequest, queryset: QuerySet[RejectedMessage]) -> None:
        """Take the chosen messages in again, once their cause is mended."""
        chosen = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
        if len(chosen) > MOST:
            words = f"More than {MOST:,} at once take `manage.py reingest_rejected`; nothing was done."
            self.message_user(request, words, messages.ERROR)
            return
        report = reingest(reingestible().filter(pk__in=chosen), now=timezone.now())
        told = [f"{report.taken:,} of {len(chosen):,} went in again, with {report.stored:,} new entries."]
        told += [f"{number:,} refused as {reason}." for reason, number in sorted(report.refused.items())]
        if report.rows < len(chosen):
            told.append(f"{len(chosen) - report.rows:,} were not kept whole, or their sensor was deleted.")
        level = messages.SUCCESS if report.taken == len(chosen) else messages.WARNING
        self.message_user(request, " ".join(told), level)
