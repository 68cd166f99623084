"""The Django project: settings, processes, and everything that joins the apps."""
