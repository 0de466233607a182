"""Values of frames: computed once, by whichever thread asks first, and released with the frame."""

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from children import LIMIT_SECONDS

from interp_cli.inference.frame_cache import FrameCache


class Frame:
    """Any object will do."""


def test_a_value_is_computed_once_while_others_wait_for_it():
    cache, frame, calls = FrameCache(), Frame(), []
    begun = threading.Event()

    def slow():
        begun.set()
        time.sleep(0.1)
        calls.append(1)
        return object()

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.get, frame, "key", slow)
        assert begun.wait(LIMIT_SECONDS)
        others = [pool.submit(cache.get, frame, "key", slow) for _ in range(3)]
        assert {id(other.result(LIMIT_SECONDS)) for other in others} == {
            id(first.result(LIMIT_SECONDS))
        }
    assert calls == [1]


def test_another_key_and_another_frame_do_not_wait():
    cache, frame, go_on = FrameCache(), Frame(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(cache.get, frame, "slow", lambda: go_on.wait(LIMIT_SECONDS))
        assert cache.get(frame, "quick", lambda: 1) == 1
        assert cache.get(Frame(), "slow", lambda: 2) == 2
        go_on.set()
        assert slow.result(LIMIT_SECONDS)


def test_none_is_a_value():
    cache, frame, calls = FrameCache(), Frame(), []
    for _ in range(2):
        assert cache.get(frame, "key", lambda: calls.append(1)) is None
    assert calls == [1]


def test_after_a_failure_a_waiting_thread_tries_again():
    cache, frame, begun = FrameCache(), Frame(), threading.Event()

    def fail():
        begun.set()
        time.sleep(0.1)
        raise RuntimeError("out of memory")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, frame, "key", fail)
        assert begun.wait(LIMIT_SECONDS)
        second = pool.submit(cache.get, frame, "key", lambda: 3)
        with pytest.raises(RuntimeError, match="out of memory"):
            first.result(LIMIT_SECONDS)
        assert second.result(LIMIT_SECONDS) == 3


def test_values_are_released_with_their_frame():
    cache, frame, value = FrameCache(), Frame(), Frame()
    alive = weakref.ref(value)
    cache.get(frame, "key", lambda value=value: value)
    del value
    gc.collect()
    assert alive() is not None
    del frame
    gc.collect()
    assert alive() is None


def test_a_value_may_need_others():
    cache, frame = FrameCache(), Frame()
    assert cache.get(frame, "sum", lambda: 1 + cache.get(frame, "part", lambda: 2)) == 3
