"""What the admin pages of all apps share: forms that save through services, and deletion that counts.

The services hold the rules; a page only asks them. Nothing here knows a particular model.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin

from sensors.errors import DomainError
from sensors.models import User

# By status, severity or state: unfold's colours for labels.
LABEL_COLOURS: dict[str, str] = {
    "up": "success",
    "late": "warning",
    "down": "danger",
    "new": "info",
    "pending": "info",
    "published": "info",
    "acknowledged": "success",
    "failed": "danger",
    "superseded": "",
    "firing": "danger",
    "waiting": "info",
    "sent": "success",
    "dropped": "",
    "active": "success",
    "missing": "danger",
    "revoking": "warning",
    "resolved": "success",
    "info": "info",
    "warning": "warning",
    "critical": "danger",
    "error": "danger",
}


def admin_page(admin: ModelAdmin, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    """Return a page of `admin` besides those that it has, such as the question before an action."""
    request.current_app = admin.admin_site.name  # type: ignore[attr-defined]
    return TemplateResponse(
        request, template, {**admin.admin_site.each_context(request), "opts": admin.opts, **context}
    )


def ask_first(
    admin: ModelAdmin,
    request: HttpRequest,
    question: str,
    chosen: Sequence[models.Model],
    action: str,
    *,
    template: str = "sensors/confirm_action.html",
) -> TemplateResponse:
    """Return the page that asks before `action` is done to the `chosen` rows; its yes has `confirmed`."""
    return admin_page(admin, request, template, title="Are you sure?", question=question, chosen=chosen, action=action)


class ServiceForm(forms.ModelForm):
    """A form that is saved by a service; what the service refuses stands beside its field.

    To find out, the service is tried in a transaction that is taken back: no rule is written twice.
    """

    user: ClassVar[User]
    # Where the service names a field otherwise than the form.
    form_names: ClassVar[dict[str, str]] = {}

    def carry_out(self) -> models.Model:
        """Make or change the row by its service and return it; DomainError says what is wrong."""
        raise NotImplementedError

    def _post_clean(self) -> None:
        # The database's constraints say less well what the service says, and name no field.
        self.instance.validate_constraints = lambda exclude=None: None
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            with transaction.atomic():
                self.carry_out()
                transaction.set_rollback(True)
        except DomainError as error:
            field = self.form_names.get(error.field or "", error.field)
            self.add_error(field if field in self.fields else None, error.detail)

    def clean_labels(self) -> Any:
        """Return the labels if they are an object at all; the service looks inside."""
        labels = self.cleaned_data["labels"]
        if not isinstance(labels, dict):
            raise forms.ValidationError('Labels are an object like {"floor": "2"}.')
        return labels

    def changes(self, *names: str) -> dict[str, Any]:
        """Return the values of those of `names` that the form has."""
        return {name: self.cleaned_data[name] for name in names if name in self.cleaned_data}


class ServiceAdmin(ModelAdmin):
    """A page whose rows are written by services.

    form: a ServiceForm, or None where nothing is edited. constant_fields: what never changes once it is made.
    goes_along: label to a function that counts what is deleted with a row, for the confirmation.
    """

    constant_fields: tuple[str, ...] = ()
    goes_along: Mapping[str, Callable[[list[Any]], int]] = {}
    list_per_page = 50
    show_full_result_count = False
    warn_unsaved_form = True
    list_filter_submit = False

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        """Return the fields that are shown and not edited."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if obj is None else (*fields, *self.constant_fields)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form, which knows who fills it in."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"user": request.user})

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form again when somebody else was quicker than the form's own trial could see."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """Return the row unsaved; the service saves it, with what belongs to it."""
        if isinstance(form, ServiceForm):
            form.save_m2m = lambda: None  # type: ignore[method-assign]
            return form.instance
        return super().save_form(request, form, change)

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:
        """Save by the service."""
        if not isinstance(form, ServiceForm):
            super().save_model(request, obj, form, change)
            return
        saved = form.carry_out()
        obj.pk = saved.pk
        obj._state.adding = False
        obj.refresh_from_db()

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what the confirmation shows: the rows, and how much goes with them, counted and not listed.

        Whoever may delete a row may delete what belongs to it.
        """
        rows = list(objs)
        counts = {self.model._meta.verbose_name_plural: len(rows)}
        counts |= {label: count(rows) for label, count in self.goes_along.items()}
        return [str(row) for row in rows], {str(k): n for k, n in counts.items() if n}, set(), []


class ReadOnlyAdmin(ServiceAdmin):
    """A page on which nothing is made, changed or deleted by hand."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Return False."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False; who may see the rows still sees them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False."""
        return False


def number_of(model: type[models.Model], path: str) -> Callable[[Iterable[Any]], int]:
    """Return a function that counts the rows of `model` whose `path` is one of the given rows."""
    return lambda rows: model._default_manager.filter(**{f"{path}__in": [row.pk for row in rows]}).count()
