"""What a video file holds: its streams, its times, and the meaning of its samples."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from interp_cli.errors import DecodeError, OpenError
from interp_cli.options import DEFAULT_LIMITS, InputLimits
from interp_cli.video.clock_scan import ClockScan, StreamClock, may_start_anew, scan_clock
from interp_cli.video.decoding import PictureDecoder
from interp_cli.video.frame_rates import likely_last_duration, likely_rate, usual_rate
from interp_cli.video.opening import check_size, open_video
from interp_cli.video.sidedata import LightLevel, MasteringDisplay, read_listing, side_data_of
from interp_cli.video.timestamps import PictureClock, has_only_decoding_times, is_arbitrary
from interp_cli.video.truncation import missing_bytes

# Seconds before the end from which packets are read to find the last time stamp: longer than
# any usual distance between key frames, short enough to cost nothing.
_TAIL_SECONDS = 12


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream besides the video: audio, subtitles, data or an attachment.

    Attributes:
        index: The stream's number in its file.
        kind: `audio`, `subtitle`, `data`, `attachment`, or `video` for a cover picture.
        codec: FFmpeg's name of the codec; empty where it is unknown.
        language: Three letters, or empty.
        title: The stream's title or an attachment's file name; may be empty.
        roles: FFmpeg's names of its dispositions: `default`, `forced`, ...
        tag: The container's four-letter code of its contents; may be empty.
        is_decodable: Whether there is a decoder and, for audio, a sample rate and channels.
    """

    index: int
    kind: str
    codec: str
    language: str
    title: str
    roles: tuple[str, ...] = ()
    tag: str = ""
    is_decodable: bool = True

    @property
    def is_cover(self) -> bool:
        """Whether it is a cover picture, not a video."""
        return self.kind == "video" and "attached_pic" in self.roles


@dataclass(frozen=True, slots=True)
class ColourTags:
    """How numbers become colours: code points of ITU-T H.273, as FFmpeg counts them.

    Attributes:
        matrix: Matrix coefficients (1: BT.709, 5 and 6: BT.601, 9: BT.2020); 2 where unknown.
        full_range: Whether all codes are used; `None` where unknown.
        primaries: Colour primaries; 2 where unknown.
        transfer: Transfer characteristics (16: PQ, 18: HLG); 2 where unknown.
    """

    matrix: int = 2
    full_range: bool | None = None
    primaries: int = 2
    transfer: int = 2


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Description of a video file, read from its header, its first picture and its end.

    Attributes:
        path: The file.
        container: FFmpeg's name of the format, such as `matroska,webm`.
        codec: Name of the video codec.
        width: Columns of the picture before rotation, without those that the container crops.
        height: Rows of the picture before rotation, without those that the container crops.
        pixel_format: FFmpeg's name, such as `yuv420p10le`.
        colour: Matrix, range, primaries and transfer.
        sample_aspect: Width of a pixel over its height; 1 where unknown.
        rotation: Degrees counter-clockwise that a player turns the picture.
        interlaced: Whether the first picture holds two fields.
        frame_rate: The nominal rate; `None` where there is none. A stated rate that no step between
            pictures comes near is replaced by that of the usual step.
        time_base: Unit of the video's time stamps, in seconds.
        frame_count: Number of frames by the header or the index; `None` where the file does not
            say.
        duration_seconds: Duration of the whole file; `None` where unknown.
        start_seconds: Start of the earliest stream.
        video_start_seconds: Time of the video's first picture, on the same clock.
        last_duration: Duration of the last picture, in units of `time_base`; the usual step where
            the file states next to nothing, `None` where it does not say.
        missing_bytes: Number of bytes that the file is shorter than its header says; 0 where it
            is complete.
        clock_is_arbitrary: Whether the format's clock starts anywhere (MPEG-TS), so that only
            differences of time stamps mean anything.
        video_index: The video stream's number in the file.
        streams: All other streams.
        chapters: Number of chapters.
        metadata: Tags of the whole file.
        video_metadata: Tags of the video stream.
        video_roles: Dispositions of the video stream, as in `StreamInfo`.
        mirrored: Whether a player swaps left and right after it turned the picture.
        cropping: Columns and rows that are cut off decoded pictures: left, right, top, bottom.
        chroma_location: Place of chroma samples: `left`, `topleft`, ...; empty where unknown.
        mastering_display: The display that an HDR video was graded on.
        light_level: The greatest brightness of an HDR video.
        dropped_metadata: Further data of the pictures that no output can keep, in words.
        has_only_decoding_times: Whether the file says when pictures are decoded, not when they are
            shown.
        discontinuities: Number of times that the file's clock starts anew.
        side_clocks: How the clocks of the other streams are corrected then.
        pauses: Decoding times, in units of `time_base`, to which the clock leaps over a pause of
            the video: sound goes on meanwhile.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    pixel_format: str
    colour: ColourTags
    sample_aspect: Fraction
    rotation: int
    interlaced: bool
    frame_rate: Fraction | None
    time_base: Fraction
    frame_count: int | None
    duration_seconds: float | None
    start_seconds: Fraction
    video_start_seconds: Fraction
    last_duration: int | None
    missing_bytes: int
    clock_is_arbitrary: bool
    video_index: int
    streams: tuple[StreamInfo, ...]
    chapters: int
    metadata: dict[str, str]
    video_metadata: dict[str, str] = field(default_factory=dict)
    video_roles: tuple[str, ...] = ()
    mirrored: bool = False
    cropping: tuple[int, int, int, int] = (0, 0, 0, 0)
    chroma_location: str = ""
    mastering_display: MasteringDisplay | None = None
    light_level: LightLevel | None = None
    dropped_metadata: tuple[str, ...] = ()
    has_only_decoding_times: bool = False
    discontinuities: int = 0
    side_clocks: tuple[StreamClock, ...] = ()
    pauses: tuple[int, ...] = ()

    @property
    def can_seek(self) -> bool:
        """Whether a time stamp leads to a place in the file."""
        return not (self.discontinuities or self.has_only_decoding_times)

    def streams_of(self, kind: str) -> tuple[StreamInfo, ...]:
        """All side streams of one kind, in file order."""
        return tuple(stream for stream in self.streams if stream.kind == kind)


def probe(path: str | Path, limits: InputLimits = DEFAULT_LIMITS) -> VideoInfo:
    """Describe a video file.

    Args:
        path: The file.
        limits: What is accepted.

    Raises:
        OpenError: See `open_video`; also where no picture can be decoded at all.
    """
    path = Path(path)
    container, stream = open_video(path, limits)
    with container:
        in_decoding_order = _has_only_decoding_times(path, stream, limits)
        clock = PictureClock(container, stream, in_decoding_order=in_decoding_order)
        first = first_picture(PictureDecoder(container, stream, clock=clock), path)
        check_size(path, first.width, first.height, limits)
        info = describe(container, stream, first, path)
        listing = read_listing(path, stream.index, container.format.name)
        left, right, top, bottom = listing.cropping
        tail = _tail(container, stream)
        scan = _clock_scan(path, limits) if tail is None else None
        info = replace(
            info,
            width=info.width - left - right,
            height=info.height - top - bottom,
            missing_bytes=missing_bytes(container, stream, first, path),
            streams=tuple(
                replace(
                    s,
                    codec=s.codec or listing.codecs.get(s.index, ""),
                    tag=listing.tags.get(s.index, ""),
                )
                for s in info.streams
            ),
            cropping=listing.cropping,
            chroma_location=listing.chroma_location,
            dropped_metadata=tuple(
                dict.fromkeys((*info.dropped_metadata, *listing.dropped_metadata))
            ),
            has_only_decoding_times=in_decoding_order,
        )
    return _timed(info, scan.tail if scan else tail or (), scan)


def _timed(info: VideoInfo, tail: Sequence[tuple[int, int]], scan: ClockScan | None) -> VideoInfo:
    """Complete a description by what the packets say about time."""
    stamps = [pts for pts, _ in tail]
    usual = usual_rate(stamps, info.time_base)
    last = likely_last_duration(tail, usual, info.time_base)
    info = replace(
        info,
        frame_rate=likely_rate(info.frame_rate, stamps, info.time_base),
        last_duration=last,
        pauses=scan.pauses if scan else (),
    )
    if not scan or not scan.discontinuities:
        return info
    end = (max(stamps) + (last or 0)) * info.time_base
    return replace(
        info,
        duration_seconds=float(end - info.start_seconds),
        discontinuities=scan.discontinuities,
        side_clocks=scan.side_clocks,
    )


def _has_only_decoding_times(path: Path, stream: VideoStream, limits: InputLimits) -> bool:
    """See `has_only_decoding_times`; the file is opened again only where it is possible."""
    if not stream.codec_context.has_b_frames:
        return False
    container, stream = open_video(path, limits)
    with container:
        try:
            return has_only_decoding_times(container, stream)
        except (av.error.FFmpegError, OSError):  # what is wrong is said by whoever decodes
            return False


def _clock_scan(path: Path, limits: InputLimits) -> ClockScan:
    container, stream = open_video(path, limits)
    with container:
        return scan_clock(container, stream)


def describe(
    container: InputContainer, stream: VideoStream, first: av.VideoFrame, path: Path
) -> VideoInfo:
    """Describe a video by its header and its first picture, which are all that a pipe has."""
    side = side_data_of(first)
    time_base = stream.time_base or Fraction(1, 1000)
    starts = [
        s.start_time * s.time_base
        for s in container.streams
        if s.start_time is not None and s.time_base and s.type in ("video", "audio", "subtitle")
    ]
    return VideoInfo(
        path=path,
        container=container.format.name,
        codec=stream.codec_context.name,
        width=first.width,
        height=first.height,
        pixel_format=first.format.name,
        colour=tags_of(first),
        sample_aspect=stream.sample_aspect_ratio or Fraction(1),
        rotation=side.rotation,
        interlaced=bool(first.interlaced_frame),
        frame_rate=_nominal_rate(stream, time_base),
        time_base=time_base,
        frame_count=stream.frames or None,
        duration_seconds=container.duration / av.time_base if container.duration else None,
        start_seconds=min(starts, default=Fraction(0)),
        video_start_seconds=(first.pts or 0) * time_base,
        last_duration=None,
        missing_bytes=0,
        clock_is_arbitrary=is_arbitrary(container),
        video_index=stream.index,
        streams=tuple(_side_stream(s) for s in container.streams if s.index != stream.index),
        chapters=len(container.chapters()),
        metadata=dict(container.metadata),
        video_metadata=dict(stream.metadata),
        video_roles=_roles(stream),
        mirrored=side.mirrored,
        mastering_display=side.mastering_display,
        light_level=side.light_level,
        dropped_metadata=tuple(side.dropped_metadata),
    )


def tags_of(image: av.VideoFrame) -> ColourTags:
    """The colour tags of a decoded picture."""
    full = {1: False, 2: True}.get(int(image.color_range))
    return ColourTags(
        matrix=int(image.colorspace),
        full_range=True if image.format.name.startswith("yuvj") else full,
        primaries=int(image.color_primaries),
        transfer=int(image.color_trc),
    )


def first_picture(decoder: PictureDecoder, path: Path) -> av.VideoFrame:
    """The first good picture of a decoder, which is then closed.

    Raises:
        OpenError: There is none.
    """
    with contextlib.closing(decoder.pictures()) as pictures:
        for frame in pictures:
            return frame
    if decoder.health.is_damaged:
        raise OpenError(f"{path}: no picture can be decoded ({decoder.health.reason}).")
    raise OpenError(f"{path}: the video stream holds no picture.")


def frame_rate_of(path: Path, limits: InputLimits = DEFAULT_LIMITS) -> Fraction | None:
    """The nominal rate of a video, as in `VideoInfo`; `None` where there is none.

    Args:
        path: The file.
        limits: What is accepted.

    Raises:
        OpenError: See `open_video`.
    """
    container, stream = open_video(path, limits)
    with container:
        time_base = stream.time_base or Fraction(1, 1000)
        stamps = [pts for pts, _ in _tail(container, stream) or ()]
        return likely_rate(_nominal_rate(stream, time_base), stamps, time_base)


def refuse_interlaced(info: VideoInfo) -> None:
    """Refuse frames that hold two fields.

    Raises:
        DecodeError: They do; the message says what helps.
    """
    if info.interlaced:
        raise DecodeError(
            f"{info.path}: is interlaced, so its frames mix two moments. Doubling takes it with "
            '`fields="deinterlace"`, and film at 30 frames per second with `fields="detelecine"`. '
            f"For anything else, first: ffmpeg -i {info.path.name} -vf bwdif=send_frame out.mkv"
        )


def _side_stream(stream: av.stream.Stream) -> StreamInfo:
    context = stream.codec_context
    decodable = context is not None
    if isinstance(context, av.AudioCodecContext):
        decodable = context.sample_rate > 0 and context.layout.nb_channels > 0
    words = stream.metadata
    return StreamInfo(
        index=stream.index,
        kind=stream.type or "data",
        # The name of the codec, not of the decoder: `mp3`, not `mp3float`.
        codec=context.codec.canonical_name if context else "",
        language=words.get("language", ""),
        # FFmpeg reads MP4's titles as `name`.
        title=words.get("title") or words.get("name") or words.get("filename", ""),
        roles=_roles(stream),
        is_decodable=decodable,
    )


def _roles(stream: av.stream.Stream) -> tuple[str, ...]:
    found = av.stream.Disposition(int(stream.disposition))
    return tuple(role.name for role in av.stream.Disposition if role in found and role.name)


def _nominal_rate(stream: VideoStream, time_base: Fraction) -> Fraction | None:
    """The nominal rate of a stream; a variable one has the rate of its shortest step."""
    # Hundredths of a second, as in GIF, are too coarse for FFmpeg's guess.
    if time_base >= Fraction(1, 100) and stream.average_rate:
        return stream.average_rate
    return stream.guessed_rate or stream.average_rate


def _tail(container: InputContainer, stream: VideoStream) -> list[tuple[int, int]] | None:
    """Time stamps and durations of the packets near the end.

    They are empty if the format cannot seek, and `None` if they do not tell: the clock may start
    anew anywhere in the file, or does so near the end.
    """
    if may_start_anew(container):
        return None
    end = (container.start_time or 0) + (container.duration or 0)
    clock = PictureClock(container, stream)
    try:
        container.seek(max(0, end - _TAIL_SECONDS * av.time_base), backward=True)
        packets = clock.corrected(container.demux(stream))
        tail = [(p.pts, p.duration or 0) for p in packets if p.pts is not None]
    except (av.error.FFmpegError, OSError):
        return []
    return None if clock.discontinuities else tail
