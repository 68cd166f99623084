"""What sensors do while something dies: numbered messages of every family, and answers to configurations."""

import json
import secrets
import threading
import time
from collections import defaultdict

from tests.bridges import Client
from tests.faults.messages import message
from tests.waiting import wait_until


class Load:
    """Publishes numbered messages at a steady rate from a thread; knows which were acknowledged."""

    def __init__(self, port: int, *, rate: float, first: int = 0) -> None:
        """port: of the broker on this machine. rate: messages/s. first: the number of the first message."""
        self._client = Client(f"mqtt://127.0.0.1:{port}", client_id=f"load-{secrets.token_hex(4)}", clean=False)
        self._rate = rate
        self._first = first
        # By packet id, in the order of sending: an id is given again only when it was acknowledged.
        self._sent: dict[int, list[int]] = defaultdict(list)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self.count = 0

    def start(self) -> "Load":
        self._thread.start()
        return self

    def end(self) -> None:
        """Stop publishing; acknowledgements may still come."""
        self._ending.set()
        self._thread.join()

    def outstanding(self) -> int:
        """Return how many messages the broker has not acknowledged yet."""
        return self.count - self._client.acknowledgements.total()

    def acknowledged(self) -> set[int]:
        """Return the numbers of the messages that the broker acknowledged; only when publishing has ended."""
        counts = self._client.acknowledgements
        return {number for packet, numbers in self._sent.items() for number in numbers[: counts[packet]]}

    def run_for(self, count: int) -> None:
        """Wait until so many more messages were published."""
        target = self.count + count
        wait_until(lambda: self.count >= target, 180, f"{count} more messages")

    def close(self) -> None:
        """Disconnect, whatever is still to be acknowledged."""
        self._ending.set()
        self._client.close()

    def _publish(self) -> None:
        began = time.monotonic()
        while not self._ending.is_set():
            number = self._first + self.count
            self._sent[self._client.send(*message(number))].append(number)
            self.count += 1
            self._ending.wait(max(0.0, began + self.count / self._rate - time.monotonic()))


class Devices:
    """Answers each configuration of every sensor with a heartbeat, as often as it comes."""

    def __init__(self, port: int) -> None:
        """port: of the broker on this machine."""
        self._client = Client(
            f"mqtt://127.0.0.1:{port}",
            client_id=f"devices-{secrets.token_hex(4)}",
            clean=False,
            on_message=self._answer,
        )
        self._client.subscribe("configurations/#")
        self.answers: list[tuple[str, int]] = []  # sensor and revision, in the order of their arrival

    def close(self) -> None:
        self._client.close()

    def _answer(self, topic: str, payload: bytes) -> None:
        sensor, revision = topic.rpartition("/")[2], json.loads(payload)["revision"]
        self.answers.append((sensor, revision))
        beat = {"revision": revision, "timestamp": time.time(), "success": True}
        self._client.send(f"heartbeats/{sensor}", {"heartbeats": [beat]})
