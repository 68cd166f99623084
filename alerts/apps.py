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
