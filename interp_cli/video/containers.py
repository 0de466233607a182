"""What each kind of output file can hold, and what happens to the streams beside the video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp_cli.errors import EncodeError
from interp_cli.video.probe import StreamInfo

_TEXT_SUBTITLES = frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text"})


@dataclass(frozen=True, slots=True)
class Container:
    """The rules of one kind of file.

    Attributes:
        ending: Of the file's name, with its dot.
        encoder: Default encoder for 8-bit video.
        deep_encoder: Default encoder for more bits.
        audio: Sound codecs that it holds; `None`: all.
        audio_fallback: Encoder for any other sound.
        subtitles: Subtitle codecs that it holds; `None`: all but `mov_text`.
        subtitle_fallback: Codec that other text subtitles are turned into.
        attachments: Whether it holds fonts and other files.
        arguments: For ffmpeg's muxer.
    """

    ending: str
    encoder: str
    deep_encoder: str
    audio: frozenset[str] | None
    audio_fallback: str
    subtitles: frozenset[str] | None
    subtitle_fallback: str
    attachments: bool = False
    arguments: tuple[str, ...] = ()


_MP4_AUDIO = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac", "dts"})
_CONTAINERS = {
    c.ending: c
    for c in (
        Container(
            ".mp4",
            "libx264",
            "libx265",
            _MP4_AUDIO,
            "aac",
            frozenset({"mov_text", "dvd_subtitle"}),
            "mov_text",
            arguments=("-movflags", "+faststart"),
        ),
        Container(
            ".mov",
            "libx264",
            "libx265",
            _MP4_AUDIO | {"pcm_s16le", "pcm_s24le", "pcm_s16be", "pcm_s24be", "pcm_f32le"},
            "aac",
            frozenset({"mov_text"}),
            "mov_text",
            arguments=("-movflags", "+faststart"),
        ),
        Container(".mkv", "libx264", "libx265", None, "flac", None, "subrip", attachments=True),
        Container(
            ".webm",
            "libvpx-vp9",
            "libvpx-vp9",
            frozenset({"opus", "vorbis"}),
            "libopus",
            frozenset({"webvtt"}),
            "webvtt",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """How the source's side streams reach the target.

    Attributes:
        arguments: `-map` and `-c` arguments of ffmpeg, the source being its input 1.
        warnings: What is converted or left out, and why.
    """

    arguments: tuple[str, ...]
    warnings: tuple[str, ...]


def container_of(target: Path) -> Container:
    """The rules for a file of this name.

    Raises:
        EncodeError: The ending is none that we write.
    """
    container = _CONTAINERS.get(target.suffix.lower())
    if container is None:
        raise EncodeError(
            f"{target}: cannot write {target.suffix or 'a name without an ending'}; "
            f"the output's name must end in {', '.join(_CONTAINERS)}."
        )
    return container


def plan_streams(
    streams: tuple[StreamInfo, ...], container: Container, *, audio: bool
) -> StreamPlan:
    """Decide for every stream beside the video: copied, converted, or left out with a word."""
    arguments: list[str] = []
    warnings: list[str] = []
    counts = {"audio": 0, "subtitle": 0, "attachment": 0, "video": 1}
    output_index = 1
    for stream in streams:
        codec, warning = _codec_for(stream, container)
        if stream.kind == "audio" and not audio:
            continue
        if warning:
            label = f"{stream.kind} stream {stream.index} ({stream.codec or 'unknown'})"
            warnings.append(f"{label} {warning}")
        if codec is None:
            continue
        letter = {"audio": "a", "subtitle": "s", "attachment": "t", "video": "v"}[stream.kind]
        arguments += ["-map", f"1:{stream.index}"]
        arguments += [f"-c:{letter}:{counts[stream.kind]}", codec]
        # Naming one stream's metadata turns the automatic copy off, so each is named.
        arguments += [f"-map_metadata:s:{output_index}", f"1:s:{stream.index}"]
        counts[stream.kind] += 1
        output_index += 1
    return StreamPlan(tuple(arguments), tuple(warnings))


def _codec_for(stream: StreamInfo, container: Container) -> tuple[str | None, str | None]:
    """The codec argument (`None`: left out) and what to say about it (`None`: nothing)."""
    ending = container.ending
    if stream.kind == "audio":
        if container.audio is None or stream.codec in container.audio:
            return "copy", None
        encoder = container.audio_fallback
        return encoder, f"is converted with {encoder}, since {ending} does not hold it."
    if stream.kind == "subtitle":
        held = container.subtitles
        if stream.codec != "mov_text" if held is None else stream.codec in held:
            return "copy", None
        if stream.codec in _TEXT_SUBTITLES:
            codec = container.subtitle_fallback
            return codec, f"is converted to {codec}, since {ending} does not hold it."
        return None, f"is left out: {ending} holds no such subtitles (.mkv does)."
    if stream.kind == "attachment":
        if container.attachments:
            return "copy", None
        return None, f"is left out: {ending} holds no attachments (.mkv does)."
    if stream.kind == "video" and ending != ".webm":
        return "copy", None
    return None, f"is left out: {ending} does not hold it."
