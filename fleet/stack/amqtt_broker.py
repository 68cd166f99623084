"""The broker for trying out, as a program of its own: `python -m fleet.stack.amqtt_broker`.

Takes its address, the bridge's password and where the database is from FLEET_AMQTT (JSON), which is not seen by other
users as arguments are. Ends on SIGTERM and SIGINT.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

from amqtt.errors import BrokerError

from .amqtt_accounts import Accounts
from .amqtt_sessions import Access, SessionBroker, listen_on

# How soon who was revoked is thrown out; one question of the database, for all who are connected.
LOOK_EVERY_S: Final = 2.0


async def serve(*, host: str, port: int, bridge_password: str, environment: str) -> None:
    """Run the broker until the process is told to end.

    environment: the file that names the database of sensors' credentials; without one, sensors have no logins.
    """
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    accounts = Accounts(Path(environment)) if environment else None
    broker = SessionBroker(listen_on(host, port), Access(bridge_password, accounts))
    await broker.start()
    while not ending.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), LOOK_EVERY_S)
        await broker.end_revoked()
    await broker.shutdown()
    if accounts is not None:
        await accounts.close()


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = json.loads(os.environ["FLEET_AMQTT"])
    try:
        asyncio.run(serve(**settings))
    except BrokerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
