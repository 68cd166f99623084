"""What a configuration may be, and the message that carries it to its sensor. Pure."""

import json
from typing import Final

from sensors.wire import FlatValue, PayloadError, Reason, check_flat

# Sensors with little memory take it in one MQTT message; 200 attributes of ordinary length are a few KiB.
MAX_CONFIGURATION_BYTES: Final = 64 * 1024


def check_values(values: object) -> FlatValue:
    """Return `values` if a revision may hold them; raise PayloadError with the first thing that is wrong.

    Flat: at most 200 keys to string, finite number, boolean or null, 64 KiB as JSON; `{}` is valid.
    """
    flat = check_flat(values, "configuration")
    size = len(_encode(flat))
    if size > MAX_CONFIGURATION_BYTES:
        raise PayloadError(
            Reason.TOO_LARGE, f"configuration is {size} bytes as JSON; at most {MAX_CONFIGURATION_BYTES} are sent"
        )
    return flat


def configuration_payload(number: int, values: FlatValue) -> bytes:
    """Return the MQTT payload of a revision: `{"revision": 0, "configuration": {…}}`, UTF-8, keys sorted.

    The same revision gives the same bytes, so that publishing again changes nothing at the broker.
    """
    return _encode({"revision": number, "configuration": values})


def _encode(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return text.encode()
