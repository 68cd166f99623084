from django.contrib.admin.apps import AdminConfig


class FleetAdminConfig(AdminConfig):
    """Django's admin, on the site of this project."""

    default_site = "fleet.adminsite.site.FleetAdminSite"
