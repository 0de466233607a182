"""New frames of a segment that is not finished."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from interp_cli.video.writers import frame_store
from interp_cli.video.writers.frame_store import FrameStore, StoredFrames, usable_frames

AT_ONCE = 1e-9


def test_a_fast_segment_is_not_stored(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(frame_store.time, "monotonic", lambda: now)
    store = FrameStore(tmp_path, 100, 250, 30.0)
    planes = (np.zeros((4, 4), np.uint8),)
    for number in range(20):  # 4 frames a second: 100 frames in 25 s
        store.add(number, planes)
        now += 0.25
        store.mark()
    assert store.safe == []
    assert list(tmp_path.iterdir()) == []
    for number in range(100, 110):  # 2 a second: not within 30 s
        store.add(number, planes)
        now += 0.5
        store.mark()
    digest = hashlib.blake2b(bytes(160), digest_size=16).hexdigest()
    assert store.safe == [StoredFrames("frames-000000100", 100, 10, 160, digest)]
    store.close()


def test_stored_frames_take_only_so_much_space(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_store, "_MAX_BYTES", 40)
    store = FrameStore(tmp_path, 100, None, AT_ONCE)
    for number in range(6):
        store.add(number, (np.full((4, 4), number, np.uint8),))
    store.mark()
    (safe,) = store.safe
    assert (safe.name, safe.first, safe.frames, safe.size_bytes) == ("frames-000000000", 0, 3, 48)
    store.close()
    again = FrameStore(tmp_path, 100, None, AT_ONCE)
    assert again.load(store.safe, 0) == 3
    like = (np.zeros((4, 4), np.uint8),)
    assert [int(again.read(like)[0].mean()) for _ in range(3)] == [0, 1, 2]
    again.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stored", "first", "usable"),
    [
        ([(0, 10), (10, 5)], 0, 2),
        ([(0, 10), (10, 5)], 10, 1),  # a segment has the rest
        ([(10, 5)], 0, 0),  # frames before are missing
        ([(0, 10), (11, 5)], 0, 1),
    ],
)
def test_stored_frames_are_used_without_a_gap(tmp_path, stored, first, usable):
    known = [StoredFrames(f"{begin}", begin, frames, 4, "") for begin, frames in stored]
    for frames in known:
        (tmp_path / frames.name).write_bytes(b"1234")
    assert len(usable_frames(tmp_path, known, first)) == usable
    known[0] = replace(known[0], size_bytes=5)
    assert usable_frames(tmp_path, known[:1], stored[0][0]) == []  # cut off
