"""Frames that arrived together, made ready for the wire once for all sockets that follow them. Pure."""

from collections.abc import Sequence
from struct import pack
from typing import Final

from sensors.live import Frame

# RFC 6455, section 5.2: a whole text message in one frame; a server does not mask, so all readers get the same bytes.
_TEXT: Final = 0x81
_LENGTH_IN_7_BITS: Final = 126
_LENGTH_IN_16_BITS: Final = 1 << 16


class Burst:
    """Frames in their order. `size`: their characters."""

    __slots__ = ("_wire", "frames", "size")

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self.size = sum(len(frame.text) for frame in frames)
        self._wire: bytes | None = None

    @property
    def wire(self) -> bytes:
        """The frames as WebSocket text frames, one after the other."""
        if self._wire is None:
            self._wire = b"".join([text_frame(frame.text) for frame in self.frames])
        return self._wire


def text_frame(text: str) -> bytes:
    """Return `text` as one unmasked WebSocket text frame."""
    payload = text.encode()
    length = len(payload)
    if length < _LENGTH_IN_7_BITS:
        return pack("!BB", _TEXT, length) + payload
    if length < _LENGTH_IN_16_BITS:
        return pack("!BBH", _TEXT, 126, length) + payload
    return pack("!BBQ", _TEXT, 127, length) + payload
