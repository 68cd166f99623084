"""The broker for trying out, as a program of its own: `python -m fleet.stack.amqtt_broker`.

Takes its address and the bridge's password from FLEET_AMQTT (JSON), which is not seen by other users as
arguments are. Ends on SIGTERM and SIGINT.
"""

import asyncio
import json
import logging
import os
import signal
import sys

from amqtt.errors import BrokerError

from .amqtt_sessions import Access, SessionBroker, listen_on


async def serve(*, host: str, port: int, bridge_password: str) -> None:
    """Run the broker until the process is told to end."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    broker = SessionBroker(listen_on(host, port), Access(bridge_password))
    await broker.start()
    await ending.wait()
    await broker.shutdown()


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = json.loads(os.environ["FLEET_AMQTT"])
    try:
        asyncio.run(serve(**settings))
    except BrokerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
