from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "fleet.dashboard"
    label = "dashboard"
