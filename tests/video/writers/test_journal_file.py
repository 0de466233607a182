"""What a journal may say: everything else costs one line, and the way out works."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions
from interp_cli.video.writers.journal import SegmentJournal
from interp_cli.video.writers.journal_file import Journal, Segment, StoredFrames
from interp_cli.video.writers.kept_frames import (
    check_completed,
    completed_frames,
    earlier_description,
    journal_folder,
)


class Settings:
    def to_data(self) -> dict[str, Any]:
        return {"crf": 17}

    def differences(self, earlier: Mapping[str, Any]) -> list[str]:
        return []


def work(target: Path, *, resume: bool = True) -> SegmentJournal:
    return SegmentJournal(target, 8, 2, Settings(), resume=resume)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A target of which two segments are kept."""
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt), work(target) as journal:
        for number in range(2):
            part = journal.folder / f"{number:06d}.part.mkv"
            part.write_bytes(b"segment")
            journal.add_file(part, f"{number:06d}.mkv", 8)
        raise KeyboardInterrupt
    return target


def at(*place: str | int, value: Any):
    """A change of one value in a journal."""

    def change(journal: Any) -> bytes:
        inner = journal
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        return json.dumps(journal).encode()

    change.__name__ = f"{'.'.join(map(str, place))}={value!r}"[:50]
    return change


def not_utf8(journal: Any) -> bytes:
    return json.dumps(journal).encode().replace(b"000000", b"00\xff\xfe00")


def cut_off(journal: Any) -> bytes:
    return json.dumps(journal).encode()[:-9]


def zeros(journal: Any) -> bytes:
    return bytes(4096)


def deep(journal: Any) -> bytes:
    return b"[" * 100_000


def long_number(journal: Any) -> bytes:
    return json.dumps(journal).encode().replace(b'"batch": 2', b'"batch": ' + b"9" * 5000)


STORED = {"name": "frames-000000016", "first": 16, "frames": 4, "size_bytes": 0, "digest": "0" * 32}
BAD = [
    not_utf8,
    cut_off,
    zeros,
    deep,
    long_number,
    *(at("segments", 0, "frames", value=value) for value in (-5, 0, 1.5, "8", None, True, 1 << 70)),
    *(at("segments", 0, "size_bytes", value=value) for value in (-1, "7", [7])),
    *(
        at("segments", 0, "name", value=value)
        for value in ("../../etc/passwd", "/etc/passwd", "..", "", "lock", "a\0.mkv", 7, None)
    ),
    *(at("segments", 0, "digest", value=value) for value in ("", "x" * 32, 5, None)),
    *(at("segments", value=value) for value in (None, {}, "x", [None], [[]], [{}])),
    *(at("stored", value=value) for value in (None, 5, [STORED | {"first": -1}])),
    at("stored", value=[STORED | {"name": "../frames-000000016"}]),
    at("stored", value=[STORED | {"more": 1}]),
    *(at("batch", value=value) for value in (0, -2, "2", None, 2.0, True)),
    *(at("description", value=value) for value in (None, [], "x")),
    *(at("version", value=value) for value in (0, 2, "1", None, True)),
    at("more", value=1),
]


@pytest.mark.parametrize("alter", BAD, ids=lambda alter: alter.__name__)
def test_a_journal_that_does_not_fit_costs_one_line_and_no_frame(stopped: Path, alter):
    path = journal_folder(stopped) / "journal.json"
    path.write_bytes(alter(json.loads(path.read_bytes())))
    for use in (
        lambda: check_completed(stopped, DoubleOptions()),
        lambda: completed_frames(stopped, verify=True),
        lambda: earlier_description(stopped),
        lambda: work(stopped).__enter__(),
    ):
        with pytest.raises(EncodeError) as caught:
            use()
        said = str(caught.value)
        assert said.startswith(f"{path}: is damaged, or another version of interp wrote it (")
        assert said.endswith("start over with `overwrite` and without `resume`.")
        assert "\n" not in said
        assert len(said) < 600
    assert (journal_folder(stopped) / "000001.mkv").exists()
    check_completed(stopped, DoubleOptions(overwrite=True))
    with work(stopped, resume=False) as again:
        assert again.completed == 0
    assert list(stopped.parent.iterdir()) == []


def test_a_journal_is_read_as_it_was_written():
    segments = [Segment("000000.mkv", 500, 12, "0123456789abcdef" * 2)]
    stored = [StoredFrames("frames-000000500", 500, 4, 0, "f" * 32)]
    journal = Journal({"options": {"crf": None}}, 4, segments, stored)
    assert Journal.from_json(journal.to_json().encode()) == journal
