"""`manage.py` with a defect: the first message of each process that holds the word CLUMSY raises in the callback.

The product has no switch for this, so it is put in from outside, at the last step of taking a message in.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

WORD = b"CLUMSY"


def break_inbox() -> None:
    """Let `Inbox.put` raise once."""
    from fleet.mqtt.inbox import Inbox  # noqa: PLC0415 - settings are ready only now

    put = Inbox.put
    raised: list[bool] = []

    def clumsy_put(self: Inbox, deliveries: Sequence[Any]) -> bool:
        if not raised and any(WORD in delivery.message.payload for delivery in deliveries):
            raised.append(True)
            raise RuntimeError("thrown inside the callback by a test")
        return put(self, deliveries)

    Inbox.put = clumsy_put  # type: ignore[method-assign]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")
    import django
    from django.core.management import execute_from_command_line

    django.setup()
    break_inbox()
    execute_from_command_line(sys.argv)
