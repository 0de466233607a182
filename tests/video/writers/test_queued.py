"""The writer in a thread of its own: in order, failing at the next frame, never stuck."""

import threading

import clips
import pytest
from children import LIMIT_SECONDS

from interp_cli.errors import EncodeError
from interp_cli.video.writers.base import FrameWriter
from interp_cli.video.writers.queued import QueuedWriter


class Recorder(FrameWriter):
    """Notes what it is told, and may fail or be stuck at a frame until it is killed."""

    encoder, warnings, output_bytes = "recorder", ("a warning",), 7

    def __init__(self, fails_at: int | None = None, stuck_at: int | None = None) -> None:
        self.fails_at, self.stuck_at = fails_at, stuck_at
        self.said: list[object] = []
        self.is_stuck, self.killed = threading.Event(), threading.Event()

    def write(self, image, pts):
        if pts == self.fails_at:
            raise EncodeError(f"no {pts}")
        if pts == self.stuck_at:
            self.is_stuck.set()
            assert self.killed.wait(LIMIT_SECONDS)
            raise EncodeError("killed")
        self.said.append(pts)

    def skip(self, image, pts):
        self.said.append(f"skip {pts}")

    def close(self):
        self.said.append("close")

    def kill(self):
        self.killed.set()

    def abort(self):
        self.said.append("abort")


IMAGE = clips.noise_image("gray8", 8, 8)


def test_frames_arrive_in_order_and_the_output_is_completed():
    inner = Recorder()
    with QueuedWriter(inner, waiting_frames=2) as writer:
        assert (writer.encoder, writer.warnings, writer.output_bytes) == (
            "recorder",
            ("a warning",),
            0,
        )
        writer.skip(None, 0)
        for pts in range(1, 20):
            writer.write(IMAGE, pts)
    assert inner.said == ["skip 0", *range(1, 20), "close"]
    assert writer.output_bytes == 7
    assert not inner.killed.is_set()


def test_a_failure_is_raised_at_a_later_frame():
    inner = Recorder(fails_at=3)
    with (
        pytest.raises(EncodeError, match="no 3"),
        QueuedWriter(inner, waiting_frames=2) as writer,
    ):
        for pts in range(1000):  # the queue never fills: what fails is still taken out of it
            writer.write(IMAGE, pts)
        pytest.fail("all frames were taken")
    assert inner.said == [0, 1, 2, "abort"]


def test_a_failure_with_the_last_frame_is_raised_at_the_end():
    inner = Recorder(fails_at=1)
    with pytest.raises(EncodeError, match="no 1"), QueuedWriter(inner, waiting_frames=4) as writer:
        writer.write(IMAGE, 0)
        writer.write(IMAGE, 1)
    assert inner.said == [0, "abort"]
    assert writer.output_bytes == 0


def test_an_error_in_the_block_frees_an_encoder_that_is_stuck():
    inner = Recorder(stuck_at=1)
    with pytest.raises(KeyboardInterrupt), QueuedWriter(inner, waiting_frames=2) as writer:
        for pts in range(4):  # one in hand, and the queue is full
            writer.write(IMAGE, pts)
        assert inner.is_stuck.wait(LIMIT_SECONDS)
        raise KeyboardInterrupt
    assert inner.said == [0, "abort"]
