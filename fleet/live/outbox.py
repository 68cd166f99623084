"""What waits to be sent over one WebSocket, and how much of it may go now. Pure: reads no clock.

The server's `send` never pushes back, so a reader who does not keep up shows in two other ways. Who echoes the
`sync` frames has a window: so much may be un-echoed. Who never echoes has a rate. In both cases the rest waits
here, bounded: when the queue is full, each sensor keeps its newest frame of each kind, and what that replaced is
counted for a `gap` frame.
"""

from collections import OrderedDict, deque
from typing import Final

import msgspec

from sensors.live import Frame

__all__ = ["Frame", "Outbox"]

# A page in the foreground echoes within milliseconds; on a line of 200 ms these allow 5 MB/s.
WINDOW_FRAMES: Final = 256
WINDOW_BYTES: Final = 1024 * 1024
# An eighth of the window, so that a reader who keeps up never meets its end.
SYNC_EVERY_FRAMES: Final = 32
SYNC_EVERY_BYTES: Final = 128 * 1024
# For who never echoes. A reader who stopped is cut by the server's ping after at most 50 s (`daphne
# --ping-interval 20 --ping-timeout 30`); until then this is all that can pile up: 2 MiB + 50 × 256 KiB.
RATE_BURST_BYTES: Final = 2 * 1024 * 1024
RATE_BYTES_PER_S: Final = 256 * 1024
# What waits behind a closed window or a snapshot in the making before sensors keep their newest only.
QUEUE_FRAMES: Final = 256
QUEUE_BYTES: Final = 1024 * 1024
NEWEST_BYTES: Final = 1024 * 1024


class Outbox:
    """The frames of one socket in their order, the window or rate that holds them, and what was left out."""

    def __init__(self, *, now_s: float) -> None:
        self._queue: deque[Frame] = deque()
        self._queue_bytes = 0
        # Non-empty only while the queue was full: later frames must not overtake it.
        self._newest: OrderedDict[tuple[str, str], Frame] = OrderedDict()
        self._newest_bytes = 0
        self._dropped = 0
        self._unknown_gap = False
        self._held = False

        self._echoes = False
        self._sent_frames = self._sent_bytes = 0
        # Frames and bytes sent up to each un-echoed sync, by its number.
        self._marks: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._marked_frames = self._marked_bytes = 0
        self._echoed_frames = self._echoed_bytes = 0
        self._seq = 0
        self._tokens = float(RATE_BURST_BYTES)
        self._tokens_at_s = now_s

    # --- What comes in ---------------------------------------------------------------------------

    def push(self, frame: Frame) -> None:
        """Append a frame; over the bounds it replaces the sensor's older one of its kind, which is counted."""
        if not self._newest and self._fits(frame):
            self._queue.append(frame)
            self._queue_bytes += frame.size
            return
        key = (frame.sensor, frame.kind)
        older = self._newest.pop(key, None)
        if older is not None:
            self._leave_out(older)
        self._newest[key] = frame
        self._newest_bytes += frame.size
        while self._newest_bytes > NEWEST_BYTES and len(self._newest) > 1:
            self._leave_out(self._newest.popitem(last=False)[1])

    def note_gap(self, events: int | None) -> None:
        """Count events that never arrived here; None when nobody knows how many."""
        if events is None:
            self._unknown_gap = True
        else:
            self._dropped += events

    def hold(self) -> None:
        """Let everything wait: a snapshot is in the making and must come first."""
        self._held = True

    def release(self) -> None:
        """End `hold`."""
        self._held = False

    # --- What goes out -----------------------------------------------------------------------------

    def take(self, *, now_s: float) -> list[str]:
        """Return the texts that may be sent now, counted as sent; [] when nothing waits or nothing may go."""
        texts: list[str] = []
        while not self._held and self.writable(now_s=now_s):
            if self._queue:
                frame = self._queue.popleft()
                self._queue_bytes -= frame.size
                text = frame.text
            elif self._dropped or self._unknown_gap:
                text = self._gap_text()
            elif self._newest:
                frame = self._newest.popitem(last=False)[1]
                self._newest_bytes -= frame.size
                text = frame.text
            else:
                break
            texts.append(text)
            self._count(text)
            if sync := self._sync_text():
                texts.append(sync)
        return texts

    def pass_by(self, *, frames: int, size: int, now_s: float) -> list[str] | None:
        """Count so many frames of `size` characters together as sent, and return a sync that must follow, if any.

        None when they have to wait, all of them or some: then they are to be pushed.
        """
        if self._held or self.waits() or not self._has_room(frames=frames, size=size, now_s=now_s):
            return None
        self._sent_frames += frames
        self._sent_bytes += size
        self._tokens -= size
        sync = self._sync_text()
        return [sync] if sync else []

    def reply(self, text: str) -> list[str]:
        """Return `text` and perhaps a sync behind it, counted as sent: for snapshots and errors, in `hold`."""
        self._count(text)
        sync = self._sync_text()
        return [text, sync] if sync else [text]

    def writable(self, *, now_s: float) -> bool:
        """Return whether anything may be sent: the window is open, or the rate allows it."""
        return self._has_room(frames=1, size=1, now_s=now_s)

    def waits(self) -> bool:
        """Return whether anything is left to send."""
        return bool(self._queue or self._newest or self._dropped or self._unknown_gap)

    def echo(self, seq: int) -> None:
        """Open the window up to the sync numbered `seq`; the first echo (of 0) asks for syncs from then on.

        Numbers that were never sent, or were echoed before, change nothing.
        """
        if not self._echoes:
            self._echoes = True
            # What went out before, nobody was asked to echo.
            self._echoed_frames = self._marked_frames = self._sent_frames
            self._echoed_bytes = self._marked_bytes = self._sent_bytes
        if seq not in self._marks:
            return
        while self._marks:
            number, (frames, size) = self._marks.popitem(last=False)
            self._echoed_frames, self._echoed_bytes = frames, size
            if number == seq:
                break

    # --- Inside -------------------------------------------------------------------------------------

    def _fits(self, frame: Frame) -> bool:
        if not self._queue:
            return True
        return len(self._queue) < QUEUE_FRAMES and self._queue_bytes + frame.size <= QUEUE_BYTES

    def _has_room(self, *, frames: int, size: int, now_s: float) -> bool:
        if self._echoes:
            return (
                self._sent_frames - self._echoed_frames + frames <= WINDOW_FRAMES
                and self._sent_bytes - self._echoed_bytes + size <= WINDOW_BYTES
            )
        earned = (now_s - self._tokens_at_s) * RATE_BYTES_PER_S
        self._tokens = min(RATE_BURST_BYTES, self._tokens + max(0.0, earned))
        self._tokens_at_s = now_s
        return self._tokens >= size

    def _leave_out(self, frame: Frame) -> None:
        self._newest_bytes -= frame.size
        self._dropped += frame.events

    def _count(self, text: str) -> None:
        self._sent_frames += 1
        self._sent_bytes += len(text)
        self._tokens -= len(text)

    def _gap_text(self) -> str:
        dropped = None if self._unknown_gap else self._dropped
        self._dropped, self._unknown_gap = 0, False
        return msgspec.json.encode({"type": "gap", "dropped": dropped}).decode()

    def _sync_text(self) -> str | None:
        """Return a sync frame when enough was sent since the last one."""
        due = (
            self._sent_frames - self._marked_frames >= SYNC_EVERY_FRAMES
            or self._sent_bytes - self._marked_bytes >= SYNC_EVERY_BYTES
        )
        if not self._echoes or not due:
            return None
        self._seq += 1
        self._marked_frames, self._marked_bytes = self._sent_frames, self._sent_bytes
        self._marks[self._seq] = (self._sent_frames, self._sent_bytes)
        return f'{{"type":"sync","seq":{self._seq}}}'
