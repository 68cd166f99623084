from django.apps import AppConfig


class SensorsConfig(AppConfig):
    name = "sensors"
    verbose_name = "Networks and sensors"

    def ready(self) -> None:
        """Name what the audit log follows; states that every message moves are left out."""
        from auditlog.registry import auditlog  # noqa: PLC0415 - models load after the apps

        from sensors import models  # noqa: PLC0415
        from sensors.history import own_fields  # noqa: PLC0415

        auditlog.register(
            models.User,
            include_fields=own_fields(models.User, without=["last_login"]),
            mask_fields=["password"],
            m2m_fields={"groups"},
        )
        for model in (models.Network, models.Membership, models.Gateway, models.Sensor):
            auditlog.register(model, include_fields=own_fields(model))
        # Who is admitted is noted with the decision; what strangers ask is no history.
        auditlog.register(
            models.ClaimCode, include_fields=["network", "name", "expires_at", "max_sensors", "revoked_at"]
        )
        auditlog.register(models.AccessToken, include_fields=["name", "user", "expiry", "scope", "network_ids"])
        # Addresses of people who never came are forgotten with the invitation; the log would keep them.
        auditlog.register(models.Invitation, include_fields=own_fields(models.Invitation, without=["digest", "email"]))
