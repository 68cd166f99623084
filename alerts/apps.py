from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"
    verbose_name = "Alerts"

    def ready(self) -> None:
        """Name what the audit log follows: what people write, not what the evaluation moves."""
        from auditlog.registry import auditlog  # noqa: PLC0415 - models load after the apps

        from alerts import models  # noqa: PLC0415

        auditlog.register(models.Rule, m2m_fields={"sensors"})
        auditlog.register(models.Silence)
        # Without the address, which is secret also when it is encrypted; `url_changed_at` says that it changed.
        auditlog.register(models.NotificationTarget, exclude_fields=["encrypted_url", *models.DELIVERY_FIELDS])
