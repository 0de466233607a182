"""A job as plain data, which a journal or another process can hold."""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
import types
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, Union, cast, get_args, get_origin, get_type_hints

from interp_cli.options import DoubleOptions, InferenceOptions, Precision
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.readers.open import STANDARD_STREAM

# Options that a resumed job may change, because the finished frames do not depend on them. What
# an interpolator made of the inference options is compared instead of those.
_FREE_OPTIONS = (
    *("overwrite", "resume", "audio", "checkpoint_seconds", "inference"),
    *("max_pixels", "max_memory_gb", "allow_playlist_files"),
)


# Bytes of an input's content that are compared: its ends, some pieces between, and no more files of
# a sequence than this. A change of other bytes shows in the time of modification.
_END_BYTES = 1 << 20
_PIECE_BYTES, _PIECES = 1 << 16, 32
_SAMPLED_FILES = 64

_NO_DESCRIPTION = "no description of a job, or one of another version of interp"


@dataclass(frozen=True, slots=True)
class JobDescription:
    """Everything that another process needs to do the same job, and to know that it is the same.

    Attributes:
        source: Absolute path of the input, or `-`.
        target: Absolute path of the output, or `-`.
        options: The fields of `DoubleOptions` as plain data.
        input_hash: Hash of the input files' names, sizes and times of modification and of samples
            of their content; empty for a pipe.
        versions: Versions of the software, by name.
        inference: What an interpolator settled: the model with the hash of its weights, device,
            precision, quality, trajectory, batch and tile; empty before one is known.
    """

    source: str
    target: str
    options: dict[str, Any]
    input_hash: str
    versions: dict[str, str]
    inference: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, source: Path, target: Path, files: Iterable[Path], options: DoubleOptions
    ) -> JobDescription:
        """Describe a job.

        Args:
            source: The input.
            target: The output.
            files: The files of the input.
            options: Settings.
        """
        found = hashlib.sha256()
        files = tuple(files)
        for path in files:
            status = path.stat()
            found.update(os.fsencode(path.name))
            found.update(f" {status.st_size} {status.st_mtime_ns}\n".encode())
        for path in files[:: -(-len(files) // _SAMPLED_FILES) or 1]:
            _add_samples(found, path)
        versions = {name: version(name) for name in ("interp-cli", "torch", "av")}
        return cls(
            source=_absolute(source),
            target=_absolute(target),
            options=_plain(options),
            input_hash=found.hexdigest()[:12] if files else "",
            versions=versions | {"ffmpeg": Path(ffmpeg_path()).name},
        )

    @property
    def double_options(self) -> DoubleOptions:
        """The options as a `DoubleOptions`."""
        restored: DoubleOptions = _restored(DoubleOptions, self.options)
        return restored

    def to_data(self) -> dict[str, Any]:
        """The description as JSON has it: dictionaries, lists, strings and numbers."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_data`.

        Raises:
            ValueError: `data` is no description, or one of another version.
        """
        hints = get_type_hints(cls)
        if not isinstance(data, Mapping) or set(data) != set(hints):
            raise ValueError(_NO_DESCRIPTION)
        for name, hint in hints.items():
            if type(data[name]) is not (get_origin(hint) or hint):
                raise ValueError(f"`{name}` is {reprlib.repr(data[name])}")
        for name in ("versions", "inference"):
            if not all(type(value) is str for value in data[name].values()):
                raise ValueError(f"`{name}` is {reprlib.repr(data[name])}")
        description = cls(**data)
        try:
            options = _plain(description.double_options)
        except (TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise ValueError(f"the options cannot be used ({error})") from error
        if options != description.options:
            raise ValueError("an option has a value that is not its own")
        return description

    def to_json(self) -> str:
        """The description as a JSON document."""
        return json.dumps(self.to_data(), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: `text` is no description, or one of another version.
        """
        try:
            return cls.from_data(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(_NO_DESCRIPTION) from error

    def differences(self, earlier: Mapping[str, Any]) -> list[str]:
        """What makes frames of an earlier job unusable for this one, in words; none: nothing.

        Args:
            earlier: The other description as plain data.

        Raises:
            ValueError: `earlier` is no description, or one of another version.
        """
        before, now = type(self).from_data(earlier)._requirements(), self._requirements()
        return [
            f"{name}: {_said(before.get(name))}, now {_said(now.get(name))}"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        ]

    def _requirements(self) -> dict[str, Any]:
        """Everything that a finished frame depends on, with names for people."""
        options = {name: o for name, o in self.options.items() if name not in _FREE_OPTIONS}
        options |= options.pop("encode")
        options |= self.inference
        software = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        named = {f"`{name}`": value for name, value in options.items()}
        return {"input": self.input_hash, "software": software, **named}


def settled_inference(options: InferenceOptions, earlier: Mapping[str, Any]) -> InferenceOptions:
    """Options with the precision of an earlier run in place of `auto`.

    Which precision is faster on a CPU is measured, so it may come out otherwise the next time.

    Args:
        options: Options of a resumed job.
        earlier: Description of the earlier run as plain data; empty: none.
    """
    if options.precision != "auto":
        return options
    try:
        settled = JobDescription.from_data(earlier).inference["precision"]
        return replace(options, precision=cast(Precision, settled))
    except (ValueError, LookupError):  # nothing to go on from, or of another version
        return options


def _add_samples(found: hashlib._Hash, path: Path) -> None:
    """Add bytes of a file to a hash: all of a small one, some of a large one."""
    if not path.is_file():
        return  # a named pipe would wait for a writer
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        if size_bytes <= 2 * _END_BYTES + _PIECES * _PIECE_BYTES:
            found.update(file.read())
            return
        found.update(file.read(_END_BYTES))
        step = (size_bytes - 2 * _END_BYTES) // _PIECES
        for number in range(_PIECES):
            file.seek(_END_BYTES + number * step)
            found.update(file.read(_PIECE_BYTES))
        file.seek(size_bytes - _END_BYTES)
        found.update(file.read(_END_BYTES))


def _said(value: object) -> str:
    return "not given" if value in (None, [], "None") else str(value)


def _absolute(path: Path) -> str:
    return str(path if path == STANDARD_STREAM else path.absolute())


def _plain(value: Any) -> Any:
    """Options as JSON has them: fractions and paths are strings, tuples are lists."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Fraction | Path) else value


def _restored(hint: Any, value: Any) -> Any:
    """The inverse of `_plain`, for a value of the type `hint`.

    Raises:
        ValueError: A field is missing, unknown or has a value that is not allowed.
    """
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        if not isinstance(value, Mapping) or set(value) != {each.name for each in fields(hint)}:
            raise ValueError("options of another version of interp")
        return hint(**{name: _restored(hints[name], item) for name, item in value.items()})  # type: ignore[operator]
    is_union = get_origin(hint) in (Union, types.UnionType)
    kinds = get_args(hint) if is_union else (hint,)
    if isinstance(value, str):
        converted = next((kind for kind in kinds if kind in (Fraction, Path)), None)
        return converted(value) if converted else value
    if isinstance(value, list):
        (kind,) = (kind for kind in kinds if get_origin(kind) is tuple)
        inner = get_args(kind)
        item_hints = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_restored(h, item) for h, item in zip(item_hints, value, strict=True))
    return value
