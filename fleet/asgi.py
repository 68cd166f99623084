"""The ASGI application that daphne serves: pages and API by Django, `/ws/live/` by its consumer."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")

from fleet.database_pool import want_pool
from fleet.handler import get_application

# Under ASGI every request has a thread of its own; without a pool each would open a database connection.
want_pool()

# First: what follows needs the loaded apps.
_django = get_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from fleet.backpressure import BackPressure  # noqa: E402
from fleet.checks import refuse_unsafe_settings  # noqa: E402
from fleet.consumers import live_socket, refuse_socket  # noqa: E402

refuse_unsafe_settings()

# Django's types know no view but its own; Channels routes to any ASGI application.
_sockets = [path("ws/live/", live_socket), re_path("", refuse_socket)]  # type: ignore[arg-type]

application = ProtocolTypeRouter({"http": BackPressure(_django), "websocket": URLRouter(_sockets)})
