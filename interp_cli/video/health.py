"""What reading an input shows of its health: good frames, bad ones, and what was found.

FFmpeg goes on over most damage and calls the end of a truncated file its end. Evidence comes from
four sources: error codes, flags of packets and pictures, the libraries' log, and what header and
index announce.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

# Formats whose index lists every frame of a stream.
_MP4, _AVI = "mov,mp4,m4a,3gp,3g2,mj2", "avi"
_ASF = "asf"
# Formats whose header holds the duration of the file, while FFmpeg measures that of others.
_TIMED = (_AVI, _ASF, "flv", "matroska,webm")
# Shortest and longest end that may be missing of an announced duration: sound and picture end at
# different times, and writers round. In between a share of the duration decides.
_SLACK_SECONDS = (0.25, 5.0)
_SLACK_SHARE = 0.02
# Errors in FFmpeg's log that say nothing of the pictures.
_HARMLESS = re.compile(
    # A picture refers to one that it does not need, as after a cut of the stream without encoding.
    r"co located POCs unavailable"
    r"|mmco: unref short failure"
    r"|number of reference frames .* exceeds max"
    # Data beside the pictures.
    r"|SEI type \d+"
    r"|Error parsing (?:Dolby|AV1|NAL unit #0 of 39)"
    r"|(?:Invalid|Unknown) (?:cover type|side data)"
    # Beside the streams: FFmpeg leaves out such a chapter, and an attachment without its type.
    r"|Chapter end time \S+ before start|incomplete attachment",
    re.IGNORECASE,
)
_MAX_REASONS = 3


@dataclass
class Health:
    """What was found while the frames of an input were read.

    Attributes:
        start_seconds: Start of the part that is read, on the input's clock; `None`: its start.
        end_seconds: End of that part; `None`: the end of the input.
        origin_seconds: Time of the first frame on that clock, from which messages count.
        announced: Number of frames of the whole input by its header or index; `None` where that
            is unknown or a part is read.
        good: Number of good frames read so far.
        left_out: Number of frames found bad so far.
        at_start: Number of first frames that refer to others before the beginning of the input,
            as where a recording begins. They cannot be decoded, and are no damage.
        has_gap: Whether frames may be missing between others, in a format without an index.
        reasons: The first things that were found, in words.
    """

    start_seconds: Fraction | None = None
    end_seconds: Fraction | None = None
    origin_seconds: Fraction = Fraction(0)
    announced: int | None = None
    good: int = 0
    left_out: int = 0
    at_start: int = 0
    has_gap: bool = False
    reasons: list[str] = field(default_factory=list)

    @property
    def is_damaged(self) -> bool:
        """Whether anything was found."""
        return bool(self.reasons)

    @property
    def total(self) -> int:
        """Number of frames that there should be, as far as is known."""
        return max(self.announced or 0, self.good + self.left_out)

    @property
    def counts(self) -> str:
        """How many frames are good, such as `98 of 100`."""
        return f"{self.good} of {self.total}" if self.total > self.good else f"{self.good}"

    @property
    def reason(self) -> str:
        """What was found, as part of a sentence."""
        return "; ".join(self.reasons)

    @property
    def damage(self) -> str | None:
        """Counts and reason in one clause; `None` while nothing was found."""
        if not self.is_damaged:
            return None
        missing = self.total - self.good
        rest = f", {missing} {'is' if missing == 1 else 'are'} left out" if missing else ""
        return f"{self.counts} frames are good{rest} ({self.reason})"

    def covers(self, seconds: Fraction | None) -> bool:
        """Whether a time lies in the part that is read; an unknown one does."""
        if seconds is None:
            return True
        after = self.start_seconds is None or seconds >= self.start_seconds
        return after and (self.end_seconds is None or seconds < self.end_seconds)

    def note(self, reason: str, seconds: Fraction | None = None) -> None:
        """Add something that was found.

        Args:
            reason: What it is, as part of a sentence.
            seconds: Its time on the input's clock; `None`: unknown.
        """
        reason = reason.strip().rstrip(".")
        kinds = [earlier.partition(" at ")[0] for earlier in self.reasons]
        is_new = reason and self.covers(seconds) and reason not in kinds
        if is_new and len(self.reasons) < _MAX_REASONS:
            place = "" if seconds is None else f" at {float(seconds - self.origin_seconds):.2f} s"
            self.reasons.append(reason + place)

    def leave_out(self, reason: str, seconds: Fraction | None = None) -> None:
        """Count a bad frame, and add why it is bad."""
        if self.covers(seconds):
            self.left_out += 1
            self.note(reason, seconds)


def is_harmless(message: str) -> bool:
    """Whether an error in FFmpeg's log says nothing of the pictures."""
    return not message or _HARMLESS.search(message) is not None


def announced_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """Number of frames by the header or the index, where one lists every frame."""
    if container.format.name == _MP4:
        return stream.frames or None
    # The header of AVI counts the steps of its clock, and a step without a frame has no entry.
    if container.format.name == _AVI:
        return sum(entry.size > 0 for entry in stream.index_entries) or None
    return None


def all_within(container: InputContainer, stream: VideoStream, size_bytes: int) -> bool:
    """Whether an index lists every frame, and all of them lie within the file."""
    entries = [entry for entry in stream.index_entries if entry.size > 0]
    announced = announced_frames(container, stream)
    if announced is None or len(entries) < announced:
        return False
    if container.format.name == _AVI and entries[-1].timestamp + 1 < stream.frames:
        return False
    return all(entry.pos + entry.size <= size_bytes for entry in entries)


def missing_at_end(
    container: InputContainer, stream: VideoStream, packets: int, end_seconds: Fraction | None
) -> str | None:
    """What a file announces beyond the packets that it holds; `None`: nothing.

    Args:
        container: The file.
        stream: Its video.
        packets: Number of the video's packets.
        end_seconds: End of the last packet of all streams; `None`: unknown.
    """
    announced = announced_frames(container, stream)
    if announced is not None and packets < announced:
        return f"{announced - packets} of {announced} frames of the index are missing"
    if container.format.name not in _TIMED or not container.duration or end_seconds is None:
        return None
    if container.format.name == _ASF and stream.codec_context.has_b_frames:
        return None  # FFmpeg's muxer counts the delay of decoding in
    duration = Fraction(container.duration, av.time_base)
    if container.format.name == _AVI:
        # FFmpeg corrects the duration by what it finds; the header's number of steps stays.
        duration = stream.frames * (stream.time_base or Fraction(0))
    start = Fraction(container.start_time or 0, av.time_base)
    # Some writers count from the first frame, some from zero.
    end_seconds = max(end_seconds, end_seconds - start)
    least, most = _SLACK_SECONDS
    slack = min(max(least, _SLACK_SHARE * float(duration)), most)
    if duration - end_seconds > slack:
        return (
            f"the file announces {float(duration):.2f} s and ends after {float(end_seconds):.2f} s"
        )
    return None
