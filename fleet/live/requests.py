"""What a client may say over the WebSocket. Pure."""

from typing import Final

import msgspec

# A subscription to a thousand sensors with the longest identifiers is about as long.
MAX_MESSAGE_BYTES: Final = 64 * 1024
# Up to here a client is told what was wrong; what is longer is not even read, and closes the socket.
MAX_READ_BYTES: Final = 2 * MAX_MESSAGE_BYTES


class Subscribe(msgspec.Struct, tag="subscribe", frozen=True):
    """Follow these from now on; those that are followed already are only shown again in a snapshot."""

    sensors: list[str] = []
    networks: list[str] = []


class Unsubscribe(msgspec.Struct, tag="unsubscribe", frozen=True):
    """Follow these no more."""

    sensors: list[str] = []
    networks: list[str] = []


class Echo(msgspec.Struct, tag="echo", frozen=True):
    """Everything up to the sync frame of this number was taken; 0 asks for sync frames."""

    seq: int = 0


Request = Subscribe | Unsubscribe | Echo

_decoder: Final = msgspec.json.Decoder(Request)


class MessageError(Exception):
    """A message that is answered with an error frame of this code."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def parse(message: str | bytes) -> Request:
    """Return what `message` asks for; raise MessageError (`too_long`, `malformed`) for anything else."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise MessageError("too_long", f"A message of {len(message)} characters; at most {MAX_MESSAGE_BYTES}.")
    try:
        return _decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MessageError("malformed", f"Not a message of this service: {error}"[:300]) from error
