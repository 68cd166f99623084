from django.apps import AppConfig


class SensorsConfig(AppConfig):
    name = "sensors"
    verbose_name = "Networks and sensors"

    def ready(self) -> None:
        """Name what the audit log follows; states that every message moves are left out."""
        from auditlog.registry import auditlog  # noqa: PLC0415 - models load after the apps

        from sensors import models  # noqa: PLC0415

        auditlog.register(models.User, mask_fields=["password"], exclude_fields=["last_login"], m2m_fields={"groups"})
        auditlog.register(models.Network)
        auditlog.register(models.Membership)
        auditlog.register(models.Gateway)
        auditlog.register(models.Sensor)
        auditlog.register(models.AccessToken, include_fields=["name", "user", "expiry", "scope", "network_ids"])
