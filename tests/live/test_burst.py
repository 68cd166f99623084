"""Frames made ready for the wire: what any WebSocket library would make of the same text."""

import pytest
from websockets.frames import OP_TEXT
from websockets.frames import Frame as WireFrame

from fleet.live.burst import Burst, text_frame
from sensors.live import Frame


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_text_of_any_length_is_framed_as_the_standard_has_it(length: int):
    text = "x" * length
    assert text_frame(text) == WireFrame(OP_TEXT, text.encode()).serialize(mask=False)


def test_the_length_is_that_of_the_bytes():
    text = "ü" * 63
    assert text_frame(text) == WireFrame(OP_TEXT, text.encode()).serialize(mask=False)


def test_a_burst_is_its_frames_one_after_the_other():
    frames = [Frame("a", "status", 1, '{"a":1}'), Frame("b", "status", 1, "{}")]
    burst = Burst(frames)
    assert burst.wire == text_frame('{"a":1}') + text_frame("{}")
    assert burst.size == 9
