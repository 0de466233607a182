"""ffmpeg's command lines for a video: at once, or in segments that are joined at the end.

Segments have the target's container and the target's time stamps. What the container rounds is
rounded once, and the join copies every packet with its time stamps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from interp_cli.atomic import temporary_folder
from interp_cli.errors import EncodeError
from interp_cli.options import EncodeOptions
from interp_cli.video.clock_scan import StreamClock
from interp_cli.video.encoding.containers import container_of
from interp_cli.video.encoding.encoders import choose_encoder, encoder_named
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.encoding.hardware import AUTO_HARDWARE, hardware_encoder
from interp_cli.video.encoding.listings import has_option
from interp_cli.video.encoding.passthrough import check_ffmpeg_output, split_video_filter
from interp_cli.video.encoding.side_streams import (
    CarriedStream,
    StreamPlan,
    attach_covers,
    plan_streams,
    rare_audio_warning,
)
from interp_cli.video.encoding.slow_motion import chapters_url
from interp_cli.video.encoding.stream_trial import why_failed
from interp_cli.video.encoding.trial import trial_fault
from interp_cli.video.ffmpeg import input_arguments
from interp_cli.video.probe import VideoInfo

# How ffmpeg names a stream of its output: "aost#0:1/copy", "an output packet for stream #1".
_NAMED_STREAM = re.compile(r"(?:\b[a-z]ost#0:|\bstream #?(?:0:)?)(\d+)")
_AUDIO_CODEC = re.compile(r"-(c|codec):a|-acodec")
# Longer command lines are not accepted by every system.
_MAX_DISCONTINUITIES = 300
# Options of a video stream that are not for its encoder.
_FOR_THE_MUXER = frozenset({"metadata", "disposition", "tag"})


@dataclass(frozen=True, slots=True)
class SideStreams:
    """Source of audio, subtitles and all other streams besides the video.

    Attributes:
        source: The file with the streams.
        shift_seconds: Time that is subtracted from all its time stamps.
        start_seconds: First time to keep, on the source's clock; `None`: its start.
        end_seconds: End of what is kept, on the source's clock; `None`: its end.
        tail_seconds: Time for which the video may go on after that, with its last frame.
        stretch: Factor of slow motion, applied after the shift.
        audio: Whether audio is kept.
    """

    source: VideoInfo
    shift_seconds: Fraction = Fraction(0)
    start_seconds: Fraction | None = None
    end_seconds: Fraction | None = None
    tail_seconds: Fraction = Fraction(0)
    stretch: int = 1
    audio: bool = True

    @property
    def length_seconds(self) -> Fraction | None:
        """End of what is kept, after the shift; `None`: that of the source."""
        return None if self.end_seconds is None else self.end_seconds - self.shift_seconds

    @property
    def limit_seconds(self) -> Fraction | None:
        """The same with the last frame, which may last beyond that."""
        length = self.length_seconds
        return None if length is None else length + self.tail_seconds


class VideoCommands:
    """Decides how a video is written, and has the command lines for that.

    Attributes:
        encoder: ffmpeg's name of the encoder.
    """

    def __init__(
        self,
        target: Path,
        tags: FrameTags,
        frame_rate: Fraction,
        options: EncodeOptions,
        side: SideStreams | None,
        scratch: Path | None = None,
    ) -> None:
        """Choose an encoder, and what happens to each other stream.

        Args:
            target: The file to write; its suffix chooses the container.
            tags: Description of the frames.
            frame_rate: The nominal rate.
            options: Encoder settings.
            side: Source of the other streams; `None`: video only.
            scratch: Folder for temporary files; `None`: that of the system.

        Raises:
            EncodeError: The target's kind is not written, or the encoder does not work with these
                settings.
            OptionError: An option must not be given to ffmpeg.
        """
        self._container = container = container_of(target)
        pixel_format = tags.pixel_format
        usual = container.encoder if pixel_format.depth <= 8 else container.deep_encoder
        name, warnings = encoder_named(options.encoder or usual), tuple[str, ...]()
        check_ffmpeg_output(options, container)
        if name == AUTO_HARDWARE:
            name, warnings = hardware_encoder(usual, pixel_format, options)
        self._choice = choice = choose_encoder(name, pixel_format, options)
        if not (container.says_range or choice.says_range or tags.says_usual_range(choice)):
            warnings += (
                f"{container.ending} cannot store the range of {name}'s frames, so players will "
                "show them too dark or too pale: choose .mkv or another `encoder`.",
            )
        self._tags = tags
        self._frame_rate = frame_rate
        self._side = side
        self._plan: StreamPlan | None = None
        self._scratch = scratch
        if side:
            self._plan = plan_streams(
                side.source,
                container,
                frame_rate,
                audio=side.audio,
                stretch=side.stretch,
                end_seconds=side.length_seconds,
                inputs=self._source_input(side),
            )
        self.encoder = choice.name
        self._warnings = (*tags.warnings, *warnings, *choice.warnings)
        self._rare_audio: tuple[str, ...] = ()
        keeps_audio = not any(_AUDIO_CODEC.match(word) for word in options.ffmpeg_output[::2])
        if side and side.audio and keeps_audio:
            rare = rare_audio_warning(side.source, container)
            self._rare_audio = (rare,) if rare else ()
        self._filter, self._requested = split_video_filter(options.ffmpeg_output)
        # The user's choice is tried now: ffmpeg would refuse it after frames have been made.
        if options != EncodeOptions() and (reason := self._fault()):
            raise EncodeError(f"{target}: {name} cannot encode this ({reason}).")
        self._covers = temporary_folder("covers-", scratch)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What cannot be kept as it was."""
        said = self._plan.warnings if self._plan else ()
        return (*self._warnings, *said, *self._rare_audio)

    def side_fault(self, log: Sequence[str]) -> str:
        """Why a failure is that of another stream than the video; empty where it is not.

        If ffmpeg has named none of them, they are written to their end, without the video.

        Args:
            log: What ffmpeg said.
        """
        if self._at_fault(log) is not None:
            return _reason(log)
        return self._fault_of(self._plan.streams) if self._plan else ""

    def change_streams(self, log: Sequence[str]) -> bool:
        """After a failure, convert or leave out what failed besides the video.

        That is the stream that ffmpeg names, otherwise those that fail alone, otherwise the
        chapters, otherwise all streams.

        Args:
            log: What ffmpeg said.

        Returns:
            Whether there was something to change.
        """
        plan = self._plan
        if plan is None:
            return False
        reason = _reason(log)
        if (at_fault := self._at_fault(log)) is not None:
            self._plan = plan.after(at_fault, reason)
            return True
        alone = [(carried, self._fault_of([carried])) for carried in plan.streams]
        if any(why for _, why in alone):
            for carried, why in alone:
                plan = plan.after(carried, why) if why else plan
        elif plan.has_chapters and plan.source.chapters:
            plan = plan.without_chapters(reason)
        else:
            for carried in plan.streams:
                plan = plan.without(carried, reason)
        changed, self._plan = plan is not self._plan, plan
        return changed

    def _at_fault(self, log: Sequence[str]) -> CarriedStream | None:
        """The first stream besides the video that ffmpeg names."""
        streams = self._plan.streams if self._plan else ()
        named = (int(number) for line in log for number in _NAMED_STREAM.findall(line))
        return next((streams[n - 1] for n in named if 0 < n <= len(streams)), None)

    def _fault_of(self, streams: Sequence[CarriedStream]) -> str:
        side, plan = self._side, self._plan
        if side is None or plan is None or not streams:
            return ""
        arguments = [*plan.stream_arguments(streams), *self._limits(side)]
        return why_failed(self._source_input(side), arguments, self._container, self._scratch)

    def whole(self) -> list[str]:
        """Raw frames in, the finished file out."""
        arguments = [*self._raw_input(), *self._side_inputs(), "-map", "0:v"]
        arguments += self._side_outputs()
        return [*arguments, *self._encoding(), *self._container.arguments, *self._requested]

    def segment(self) -> list[str]:
        """Raw frames in, a segment out."""
        arguments = [*self._raw_input(), "-map", "0:v", *self._encoding(), *self._requested]
        return [*arguments, *self._container.segment_arguments]

    def joining(self, segments: list[Path], playlist: Path) -> list[str]:
        """Segments in, the finished file out; ffmpeg has to run in the folder of the segments.

        Args:
            segments: The segments in order, in one folder.
            playlist: Path of a file in the same folder, which is written.
        """
        lines = ["ffconcat version 1.0"]
        for path in segments:
            # Segments have their own times: nothing is added to them. The playlist names them as
            # they lie beside it, because a URL with # or ? in its folder finds nothing.
            lines += [f"file {path.name}", "inpoint 0", "duration 0"]
        playlist.write_text("\n".join([*lines, ""]), encoding="utf-8")
        arguments = ["-auto_convert", "0", "-f", "concat", "-i", playlist.name]
        arguments += [*self._side_inputs(), "-map", "0:v", *self._side_outputs()]
        if self._choice.traits.alpha and self.encoder.startswith("libvpx"):
            arguments += ["-metadata:s:v:0", "alpha_mode=1"]  # or the opacity would not be shown
        arguments += ["-c:v:0", "copy", *self._container.arguments]
        if self._container.ending in (".mkv", ".webm"):
            # A segment's frames are read as that long in milliseconds, but rounded down, and the
            # file says when the last one ends. Stamps that are not named would change.
            length = round(1000 / self._frame_rate)
            arguments += ["-bsf:v:0", f"setts=pts=PTS:dts=DTS:duration={length}"]
        for name, value in zip(self._requested[::2], self._requested[1::2], strict=True):
            bare, _, where = name.removeprefix("-").partition(":")
            encodes = where.startswith("v") or has_option(self.encoder, bare) or name == "-bsf"
            if bare in _FOR_THE_MUXER or not encodes:
                arguments += [name, value]
        return arguments

    def close(self) -> None:
        """Remove the temporary files that ffmpeg reads; safe to call twice."""
        self._covers.cleanup()

    def _fault(self) -> str:
        """Write a few empty frames with these settings; return what is wrong with the result."""
        size = self._tags.pixel_format
        source = f"nullsrc=size={size.width}x{size.height}:rate={self._frame_rate},"
        source += f"format={size.name}"
        arguments = [*self._choice.global_arguments, *self._tags.input_arguments()]
        arguments += ["-f", "lavfi", "-i", source, "-map", "0:v"]
        arguments += [*self._encoding(), *self._container.arguments, *self._requested]
        return trial_fault(
            tuple(arguments), self._container.ending, size.width, size.height, self._frame_rate
        )

    def _raw_input(self) -> list[str]:
        arguments = [*self._choice.global_arguments, *self._tags.input_arguments()]
        return [*arguments, "-f", "nut", "-i", "pipe:0"]

    def _encoding(self) -> list[str]:
        choice = self._choice
        arguments = ["-fps_mode:v:0", "passthrough", "-enc_time_base:v:0", "demux"]
        arguments += self._tags.output_arguments(choice, self._filter)
        return [*arguments, "-c:v:0", choice.name, *choice.arguments]

    def _side_inputs(self) -> list[str]:
        """The source, and its chapters where their times change."""
        side = self._side
        if side is None:
            return []
        arguments = self._source_input(side)
        url = self._chapters
        return [*arguments, "-f", "ffmetadata", "-i", url] if url else arguments

    @staticmethod
    def _source_input(side: SideStreams) -> list[str]:
        """The source, from where its streams are used."""
        arguments = []
        if side.source.discontinuities > _MAX_DISCONTINUITIES:
            raise EncodeError(
                f"{side.source.path}: its clock starts anew "
                f"{side.source.discontinuities} times, and sound can follow "
                f"{_MAX_DISCONTINUITIES} times. Double a part of it with "
                "`start_seconds` and `end_seconds`."
            )
        for clock in side.source.side_clocks:
            begin = None if side.start_seconds is None else Fraction(0)
            arguments += clock_arguments(clock, begin, side.limit_seconds)
        # Packets are counted from the file's start on where its clock starts anew.
        if side.start_seconds is not None and side.source.can_seek:
            # ffmpeg counts from the file's own start.
            arguments += ["-ss", _seconds(side.start_seconds - side.source.start_seconds)]
            # Otherwise decoded streams are cut at the unshifted start, which loses as much again.
            arguments += ["-noaccurate_seek"]
        if side.shift_seconds:
            arguments += ["-itsoffset", _seconds(-side.shift_seconds)]
        return arguments + input_arguments(side.source.path, side.source.container)

    def _side_outputs(self) -> list[str]:
        """Arguments for the streams of the source."""
        # Audio may wait for a slow network; without this, ffmpeg gives up after 128 packets.
        arguments = ["-max_muxing_queue_size", "65536"]
        side, plan = self._side, self._plan
        if side is None or plan is None:
            return arguments
        arguments += plan.arguments()
        if side.stretch > 1 and plan.has_chapters:
            arguments += ["-map_chapters", "2" if self._chapters else "-1"]
        return [*arguments, *self._limits(side), *attach_covers(plan, Path(self._covers.name))]

    @staticmethod
    def _limits(side: SideStreams) -> list[str]:
        """Arguments for the output that cut it."""
        if side.source.side_clocks:
            # Cutting uses the clock before its correction, so packets are dropped where they enter.
            return []
        # Seeking lands early; copied packets from before the start would move everything.
        arguments = ["-ss", "0"] if side.start_seconds is not None else []
        if side.limit_seconds is not None:
            # The limit applies to the video too.
            arguments += ["-t", _seconds(side.limit_seconds * side.stretch)]
        return arguments

    @cached_property
    def _chapters(self) -> str | None:
        """The source's chapters at their stretched times."""
        side = self._side
        if side is None or side.stretch == 1:
            return None
        return chapters_url(side.source.path, side.shift_seconds, side.stretch, side.length_seconds)


def _reason(log: Sequence[str]) -> str:
    """The first line of a log, as part of a sentence."""
    return log[0].strip().rstrip(".!") if log else "it cannot be joined with the video"


def _sum(terms: list[str]) -> str:
    """An expression for ffmpeg, which nests each of a row of terms, and allows a depth of 100."""
    while len(terms) > 1:
        groups = [terms[begin : begin + 8] for begin in range(0, len(terms), 8)]
        terms = [f"({'+'.join(group)})" for group in groups]
    return terms[0]


def _seconds(value: Fraction) -> str:
    """A time for ffmpeg, which counts in microseconds."""
    return f"{float(value):.6f}"


def clock_arguments(clock: StreamClock, begin: Fraction | None, end: Fraction | None) -> list[str]:
    """Arguments for an input that correct a stream's clock.

    Args:
        clock: What is known of the stream.
        begin: Time before which its packets are left out, corrected and shifted; `None`: from the
            start.
        end: Time from which they are left out; `None`: to the end.
    """
    filters, before, terms = list[str](), Fraction(0), list[str]()
    for number, offset in clock.offsets:
        terms.append(rf"gte(N\,{number})*({offset - before})/TB")
        before = offset
    if terms:
        shift = f"round({_sum(terms)})"
        filters.append(f"setts=pts=PTS+{shift}:dts=DTS+{shift}")  # TS stands for DTS alone
    dropped = [rf"between(n\,{first}\,{last})" for first, last in clock.overlapping]
    if begin is not None:
        dropped.append(rf"lt(pts*tb\,{_seconds(begin)})")
    if end is not None:
        dropped.append(rf"gte(pts*tb\,{_seconds(end)})")
    if dropped:
        filters.append(f"noise=drop={_sum(dropped)}")
    return [f"-bsf:{clock.index}", ",".join(filters)] if filters else []
