from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"
    verbose_name = "Alerts"

    def ready(self) -> None:
        """Name what the audit log follows: what people write, not what the evaluation moves."""
        from auditlog.registry import auditlog  # noqa: PLC0415 - models load after the apps

        from alerts import models  # noqa: PLC0415
        from sensors.history import own_fields  # noqa: PLC0415

        auditlog.register(models.Rule, include_fields=own_fields(models.Rule), m2m_fields={"sensors"})
        auditlog.register(models.Silence, include_fields=own_fields(models.Silence))
        # Without the address, which is secret also when it is encrypted; `url_changed_at` says that it changed.
        hidden = ["encrypted_url", *models.DELIVERY_FIELDS]
        auditlog.register(
            models.NotificationTarget, include_fields=own_fields(models.NotificationTarget, without=hidden)
        )
