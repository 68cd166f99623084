"""The application as any ASGI server would run it: what `send` is bound to cannot be found."""

from typing import Any

from fleet.asgi import application as fleet


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve as `fleet.asgi.application` does, by what the ASGI specification has."""

    async def plain(message: Any) -> None:
        await send(message)

    await fleet(scope, receive, plain)
