"""A simulation as a process: it ends in good order on SIGINT and SIGTERM."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

Result = TypeVar("Result")


def run_until_signalled(work: Callable[[asyncio.Event], Awaitable[Result]]) -> Result:
    """Return what `work(stop)` returns; the first SIGINT or SIGTERM sets `stop`, a second one kills."""

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def end() -> None:
            stop.set()
            # Whoever asks twice does not want to wait for the last acknowledgements.
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
        return await work(stop)

    return asyncio.run(main())
