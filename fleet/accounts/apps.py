from allauth.usersessions.apps import UserSessionsConfig


class SessionsConfig(UserSessionsConfig):
    """allauth's table of sessions; who writes it is `fleet.accounts.sessions`."""

    def ready(self) -> None:
        """Leave out its receivers: at every login they look at each session of the user, with three queries."""
