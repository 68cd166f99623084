from django.apps import AppConfig


class FleetConfig(AppConfig):
    name = "fleet"

    def ready(self) -> None:
        """Load the Celery application, so that tasks find it, and the system checks."""
        from fleet import celery, checks  # noqa: F401, PLC0415 - settings must be ready first
