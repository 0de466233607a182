"""The file that says which finished parts of an output are kept: its schema, and its one check.

A journal is read from a disk on which a crash, another version or a person may have left anything.
What does not fit the schema exactly is refused with the place and the reason, so the rest of the
package sees only names that we give, counts that can be, and digests.

The schema is four flat records. A validation library would be one more dependency for it.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from interp_cli.errors import EncodeError
from interp_cli.video.images.codecs import IMAGE_FORMATS

JOURNAL = "journal.json"
# Grows whenever the meaning of a journal changes.
_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{32}")
_ENDING = r"\.[A-Za-z0-9]+"
_SEGMENT = re.compile(rf"\d{{1,12}}({_ENDING})")
_STORED = re.compile(r"frames-\d{9,12}")
# Pictures of a sequence, those that they replace, and the list of the pictures of one segment.
PICTURES, REPLACED, LIST_ENDING = "pictures", "replaced", ".files"
_IMAGE_ENDINGS = "|".join(re.escape(ending) for kind in IMAGE_FORMATS for ending in kind.endings)
_PICTURE = re.compile(rf"[^/]*\d[^/]*({_IMAGE_ENDINGS})", re.IGNORECASE)
# Everything that is ever written into the folder of a journal. Hidden ones were not renamed yet.
OUR_NAMES = re.compile(
    rf"{JOURNAL}|{_SEGMENT.pattern}|{_STORED.pattern}"
    rf"|\.(journal|\d+)\.\d+\.part({_ENDING})|\d+\.part({_ENDING})"
    rf"|(trial|tried|joined|whole)({_ENDING})|segments\.txt"
    rf"|({PICTURES}|{REPLACED})/{_PICTURE.pattern}|covers-\w+/[^/]+",
    re.IGNORECASE,
)
OUR_FOLDERS = re.compile(rf"{PICTURES}|{REPLACED}|covers-\w+")

_TYPES = {"str": str, "int": int}
_Record = TypeVar("_Record", "Segment", "StoredFrames")


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished part of the output.

    Attributes:
        name: Name of its file in the journal's folder: a piece of the video, or a list of pictures.
        frames: Number of frames that it holds.
        size_bytes: Size of the file.
        digest: Digest of its content.
    """

    name: str
    frames: int
    size_bytes: int
    digest: str

    def check(self) -> None:
        """Raise `ValueError` if a value cannot be."""
        _check_name(self.name, _SEGMENT)
        _check_at_least(1, frames=self.frames, size_bytes=self.size_bytes)
        _check_digest(self.digest)


@dataclass(frozen=True, slots=True)
class StoredFrames:
    """A run of frames whose new ones are stored in one file.

    Attributes:
        name: Name of the file in the journal's folder.
        first: Number of the first frame in the output.
        frames: Number of frames, originals included.
        size_bytes: Bytes of the file that are used.
        digest: Digest of those bytes.
    """

    name: str
    first: int
    frames: int
    size_bytes: int
    digest: str

    @property
    def end(self) -> int:
        """Number of the frame after the last one."""
        return self.first + self.frames

    def check(self) -> None:
        """Raise `ValueError` if a value cannot be."""
        _check_name(self.name, _STORED)
        _check_at_least(0, first=self.first, size_bytes=self.size_bytes)
        _check_at_least(1, frames=self.frames)
        _check_digest(self.digest)


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal says.

    Attributes:
        description: The job that the segments belong to, as plain data.
        batch: Batch size in frame pairs.
        segments: The finished segments, in order.
        stored: Frames that follow them, in order.
    """

    description: dict[str, Any]
    batch: int
    segments: list[Segment]
    stored: list[StoredFrames]

    def to_json(self) -> str:
        """The journal as a JSON document."""
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, content: bytes) -> Journal:
        """The inverse of `to_json`.

        Raises:
            ValueError: The content is of another version, or does not fit the schema.
        """
        data = json.loads(content.decode("utf-8"))
        if not isinstance(data, dict):
            raise ValueError("it is no JSON object")
        version = data.pop("version", 0)
        if type(version) is not int or version != _VERSION:
            raise ValueError(f"it has version {_shown(version)}, not {_VERSION}")
        if set(data) != {field.name for field in fields(cls)}:
            raise ValueError(f"it has the entries {_shown(sorted(data))}")
        if not isinstance(data["description"], dict):
            raise ValueError("`description` is no object")
        if type(data["batch"]) is not int or not 1 <= data["batch"] <= _MAX_BATCH:
            raise ValueError(f"`batch` is {_shown(data['batch'])}")
        return cls(
            description=data["description"],
            batch=data["batch"],
            segments=_records(Segment, "segments", data["segments"]),
            stored=_records(StoredFrames, "stored", data["stored"]),
        )


_MAX_BATCH = 1 << 20
# A number that does not fit a file's size would overflow somewhere else.
_MAX_NUMBER = 1 << 62


def read_journal(folder: Path) -> Journal | None:
    """The journal of a folder; `None` where there is none.

    Raises:
        EncodeError: It cannot be used: it is damaged, or another version of interp wrote it.
    """
    path = folder / JOURNAL
    try:
        content = path.read_bytes()
    except OSError:
        return None
    try:
        return Journal.from_json(content)
    except RecursionError:
        raise unusable(path, "it is nested too deeply") from None
    except ValueError as error:
        raise unusable(path, str(error)) from error


def unusable(path: Path, reason: str) -> EncodeError:
    """The error of a journal that cannot be gone on from."""
    return EncodeError(
        f"{path}: is damaged, or another version of interp wrote it ({reason}), so the finished "
        "frames there cannot be used. Go on with that version, or start over with `overwrite` and "
        "without `resume`."
    )


def new_digest(content: bytes = b"") -> hashlib.blake2b:
    """A digest to which content can be added; 0.9 GB a second on one core."""
    return hashlib.blake2b(content, digest_size=16)


def is_unchanged(path: Path, size_bytes: int, digest: str) -> bool:
    """Whether the first bytes of a file still have their digest.

    Args:
        path: The file. A file that has not changed since it was last asked for is not read again.
        size_bytes: Number of bytes.
        digest: Their digest.
    """
    try:
        status = path.stat()
        return _digest_of(path, size_bytes, (status.st_size, status.st_mtime_ns)) == digest
    except OSError:
        return False


@lru_cache(maxsize=1 << 16)
def _digest_of(path: Path, size_bytes: int, state: tuple[int, int]) -> str:
    found = new_digest()
    with path.open("rb") as file:
        while size_bytes > 0 and (piece := file.read(min(size_bytes, 1 << 20))):
            found.update(piece)
            size_bytes -= len(piece)
    return found.hexdigest() if size_bytes == 0 else ""


def _shown(value: object) -> str:
    """A value of any length and kind as a few words of a sentence."""
    return reprlib.repr(value)


def _records(kind: type[_Record], name: str, data: object) -> list[_Record]:
    if not isinstance(data, list):
        raise ValueError(f"`{name}` is no list")
    return [_record(kind, f"{name}[{number}]", item) for number, item in enumerate(data)]


def _record(kind: type[_Record], place: str, data: object) -> _Record:
    """A record of texts and numbers, with exactly its fields."""
    expected = {field.name: _TYPES[str(field.type)] for field in fields(kind)}
    if not isinstance(data, Mapping) or set(data) != set(expected):
        raise ValueError(f"`{place}` does not have the entries {', '.join(expected)}")
    for name, value in data.items():
        if type(value) is not expected[name]:
            raise ValueError(f"`{place}.{name}` is {_shown(value)}")
    record = kind(**data)
    try:
        record.check()
    except ValueError as error:
        raise ValueError(f"`{place}.{error}") from None
    return record


def _check_name(name: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(name):
        raise ValueError(f"name` is {_shown(name)}")


def _check_at_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if not least <= number < _MAX_NUMBER:
            raise ValueError(f"{name}` is {number}")


def _check_digest(digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"digest` is {_shown(digest)}")
