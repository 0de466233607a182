"""The exceptions that `interp_cli` raises.

* InterpError
  * VideoError
    * OpenError
    * DecodeError
    * EncodeError
      * UnknownEncoderError
      * PipeClosedError
      * SideStreamsError
  * WeightsError
  * TrainingError
  * ResourceError
* OptionError (a ValueError)

A message names the file, what was found, what was expected and what to do. It names options in
backticks, as Python spells them; the command line shows flags instead. An option's wrong value
is an `OptionError`, and other misuse of the Python API (a wrong type, shape or range) a plain
`ValueError`.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "DecodeError",
    "EncodeError",
    "InterpError",
    "OpenError",
    "OptionError",
    "PipeClosedError",
    "ResourceError",
    "SideStreamsError",
    "TrainingError",
    "UnknownEncoderError",
    "VideoError",
    "WeightsError",
    "full_disk",
]


class InterpError(Exception):
    """Base of everything that a user can put right; the command line shows it as one line."""


class VideoError(InterpError):
    """A video could not be read or written."""


class OpenError(VideoError):
    """A file is missing, is not a video, or has no video stream."""


class DecodeError(VideoError):
    """A video is damaged: fewer frames could be decoded than it announces."""


class EncodeError(VideoError):
    """The encoder refused its settings, stopped, or did not write every frame that it got."""


class SideStreamsError(EncodeError):
    """A stream besides the video could not be written, and took the video with it."""


class UnknownEncoderError(EncodeError):
    """This ffmpeg has no encoder of that name."""


class PipeClosedError(EncodeError):
    """The program that reads the output's pipe has ended."""


class WeightsError(InterpError):
    """A weights file is missing, damaged, of another architecture, or not to be trusted."""


class TrainingError(InterpError):
    """A training run has no usable data, or cannot go on."""


class ResourceError(InterpError):
    """Memory, disk space, a device or the ffmpeg program is missing or does not suffice."""


class OptionError(ValueError):
    """An option has a value that it cannot have, or contradicts another option."""


@contextmanager
def full_disk(message: str) -> Iterator[None]:
    """Turn the `OSError` of a full disk into a `ResourceError` with this message."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise ResourceError(message) from error
