"""What each kind of output file can hold, and what happens to the other streams of the source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from interp_cli.errors import EncodeError
from interp_cli.video.encoding.slow_motion import packet_filter, sound_encoder, sound_filter
from interp_cli.video.ffmpeg import file_url, open_input
from interp_cli.video.probe import StreamInfo, VideoInfo

_TEXT_SUBTITLES = frozenset({"subrip", "ass", "ssa", "webvtt", "mov_text", "text", "eia_608"})
# Tags of a stream that are wrong after it is encoded: mostly mkvmerge's statistics, to which it may
# add a language (`BPS-eng`).
_STALE_TAGS = (
    *("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "DURATION", "_STATISTICS_TAGS"),
    *("_STATISTICS_WRITING_APP", "_STATISTICS_WRITING_DATE_UTC", "ENCODER", "ALPHA_MODE"),
)
# Tags of the MP4 family that describe the file itself.
_BRAND_TAGS = ("major_brand", "minor_version", "compatible_brands")


@dataclass(frozen=True, slots=True)
class Container:
    """The rules of one kind of file.

    Attributes:
        ending: Suffix of the file's name, with its dot.
        muxer: ffmpeg's name of the format.
        encoder: Default encoder for 8-bit video.
        deep_encoder: Default encoder for more bits.
        audio: Audio codecs that it holds; `None`: all except a few that Matroska refuses.
        audio_fallback: Encoder for all other audio.
        subtitles: Subtitle codecs that it holds; `None`: all except `mov_text` and `eia_608`.
        subtitle_fallback: Codec that other text subtitles are converted to.
        roles: Dispositions of streams that it can store.
        attachments: Whether it holds attachments, and covers as such.
        covers: Whether it holds cover pictures.
        data: Four-letter codes of data streams that it holds.
        tags: Names of the file's tags that it holds by default; `None`: all.
        says_range: Whether it can store the range of a stream that does not store it itself.
        arguments: Arguments for ffmpeg's muxer.
        segment_arguments: Arguments for a segment of the video only, with exact times.
        rare_audio: Audio codecs that it holds and many players do not play from it.
    """

    ending: str
    muxer: str
    encoder: str
    deep_encoder: str
    audio: frozenset[str] | None
    audio_fallback: str
    subtitles: frozenset[str] | None
    subtitle_fallback: str
    roles: frozenset[str]
    attachments: bool = False
    covers: bool = False
    data: frozenset[str] = frozenset()
    tags: frozenset[str] | None = None
    says_range: bool = True
    arguments: tuple[str, ...] = ()
    segment_arguments: tuple[str, ...] = ()
    rare_audio: frozenset[str] = frozenset()


# Each fragment stores its own time. The edit list, which counts milliseconds, is left out.
_FRAGMENTS = (
    *("-movflags", "frag_keyframe+empty_moov+default_base_moof+frag_discont"),
    *("-use_editlist", "0", "-avoid_negative_ts", "disabled", "-write_tmcd", "0"),
)
# The lists below were measured with FFmpeg 9: what a file holds after a copy.
_MP4_AUDIO = frozenset(
    """aac mp3 mp2 ac3 eac3 alac opus flac dts vorbis amr_nb amr_wb pcm_s16le pcm_s24le pcm_s32le
    pcm_f32le pcm_f64le pcm_s16be pcm_s24be pcm_s32be""".split()  # noqa: SIM905
)
_MOV_AUDIO = (_MP4_AUDIO - {"opus", "flac"}) | {"pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw"}
_NO_MATROSKA_AUDIO = frozenset({"adpcm_ima_qt", "s302m", "qdm2", "qdmc", "mace3", "mace6"})
_MP4_TAGS = frozenset(
    """title artist album_artist composer album comment date year genre copyright description
    synopsis show episode_id episode_sort season_number network keywords grouping lyrics track disc
    location creation_time encoder encoding_tool compilation media_type hd_video
    gapless_playback""".split()  # noqa: SIM905
)
_MOV_TAGS = frozenset(
    """title artist album comment date genre copyright location make model creation_time
    encoder""".split()  # noqa: SIM905
)
_MATROSKA_ROLES = frozenset(
    {"default", "dub", "original", "comment", "forced", "hearing_impaired", "visual_impaired"}
)
_MP4_ROLES = (_MATROSKA_ROLES - {"original"}) | {"captions", "descriptions"}
CONTAINERS = {
    c.ending: c
    for c in (
        Container(
            ".mp4",
            "mp4",
            "libx264",
            "libx265",
            _MP4_AUDIO,
            "aac",
            frozenset({"mov_text", "dvd_subtitle"}),
            "mov_text",
            _MP4_ROLES,
            covers=True,
            data=frozenset({"gpmd"}),
            tags=_MP4_TAGS,
            rare_audio=frozenset({"opus", "vorbis"}),
            arguments=("-movflags", "+faststart"),
            segment_arguments=_FRAGMENTS,
        ),
        Container(
            ".mov",
            "mov",
            "libx264",
            "libx265",
            _MOV_AUDIO,
            "aac",
            frozenset({"mov_text"}),
            "mov_text",
            frozenset({"default"}),
            data=frozenset({"gpmd"}),
            tags=_MOV_TAGS,
            says_range=False,
            arguments=("-movflags", "+faststart"),
            segment_arguments=_FRAGMENTS,
        ),
        Container(
            ".mkv",
            "matroska",
            "libx264",
            "libx265",
            None,
            "flac",
            None,
            "subrip",
            _MATROSKA_ROLES | {"descriptions"},
            attachments=True,
            covers=True,
        ),
        Container(
            ".webm",
            "webm",
            "libvpx-vp9",
            "libvpx-vp9",
            frozenset({"opus", "vorbis"}),
            "libopus",
            frozenset({"webvtt"}),
            "webvtt",
            frozenset({"default", "forced", "captions", "descriptions", "metadata"}),
        ),
    )
}
# ISO 639-2 has two codes for some languages; QuickTime knows one of each pair, and not all.
_MOV_LANGUAGES = dict(
    pair.split(":")
    for pair in """fre:fra deu:ger nld:dut isl:ice zho:chi rum:ron cze:ces slo:slk ell:gre eus:baq
    cym:wel mya:bur msa:may sqi:alb hye:arm kat:geo bod:tib fas:per""".split()  # noqa: SIM905
)
_NO_MOV_LANGUAGE = frozenset(
    """swe hrv sme fao gle srp mkd pan sun glg afr bre iku gla glv ton""".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """How the source's side streams reach the target.

    Attributes:
        arguments: Arguments for ffmpeg, with the source as input 1.
        covers: Cover pictures that become attachments.
        attachments: Number of attachments before them.
        warnings: What is converted or left out, and why.
    """

    arguments: tuple[str, ...]
    covers: tuple[StreamInfo, ...]
    attachments: int
    warnings: tuple[str, ...]


def container_of(target: Path) -> Container:
    """The rules for a file of this name.

    Raises:
        EncodeError: Files with this suffix are not written.
    """
    container = CONTAINERS.get(target.suffix.lower())
    if container is None:
        raise EncodeError(
            f"{target}: cannot write {target.suffix or 'a name without an ending'}; "
            f"the output's name must end in {', '.join(CONTAINERS)}."
        )
    return container


def is_container(path: Path) -> bool:
    """Whether files with the suffix of this name are written."""
    return path.suffix.lower() in CONTAINERS


def plan_streams(
    source: VideoInfo,
    container: Container,
    frame_rate: Fraction,
    *,
    audio: bool,
    stretch: int = 1,
    end_seconds: Fraction | None = None,
) -> StreamPlan:
    """Decide for every other stream whether it is copied, converted or left out.

    Args:
        source: The file with the streams, input 1 of ffmpeg.
        container: Kind of the target.
        frame_rate: Rate of the new video, in which its time code counts.
        audio: Whether audio is kept.
        stretch: Factor of slow motion. Stretched audio is encoded again.
        end_seconds: End of the stretched streams; `None`: that of the source.
    """
    arguments = ["-map_metadata", "1", "-map_chapters", "1"]
    warnings: list[str] = []
    for tag in _BRAND_TAGS:
        arguments += ["-metadata", f"{tag}="]
    known = {name.lower().partition("-")[0] for name in source.metadata} - set(_BRAND_TAGS)
    if container.tags is not None and known - container.tags:
        # All tags, in QuickTime's own list instead of the usual one.
        arguments += ["-movflags", "+use_metadata_tags"]
    # Where a file has it in that list and in its header, FFmpeg 9 reads both, joined.
    if created := source.metadata.get("creation_time"):
        arguments += ["-metadata", f"creation_time={created.partition(';')[0]}"]
    arguments += _video_tags(source, frame_rate)
    arguments += ["-disposition:v:0", "+".join(_held(source.video_roles, container)) or "0"]
    warnings += _lost_roles("the video", source.video_roles, container)
    covers: list[StreamInfo] = []
    counts = {"audio": 0, "subtitle": 0, "attachment": 0, "video": 1, "data": 0}
    output_index = 1
    for stream in source.streams:
        if stream.kind == "audio" and not audio:
            continue
        if stream.kind == "data" and stream.tag in ("text", "tmcd"):
            continue  # chapters and the time code, which ffmpeg writes again
        if stream.is_cover and container.attachments:
            covers.append(stream)
            continue
        label = f"{stream.kind} stream {stream.index} ({stream.codec or stream.tag or 'unknown'})"
        codec, warning = _codec_for(stream, container)
        if stretch > 1 and codec == "copy" and stream.kind == "audio":
            codec = sound_encoder(stream.codec) or container.audio_fallback
        if warning:
            warnings.append(f"{label} {warning}")
        if codec is None:
            continue
        letter = {"audio": "a", "subtitle": "s", "attachment": "t", "video": "v", "data": "d"}[
            stream.kind
        ]
        number = f"{letter}:{counts[stream.kind]}"
        arguments += ["-map", f"1:{stream.index}", f"-c:{number}", codec]
        if stretch > 1 and stream.kind == "audio":
            arguments += [f"-filter:{number}", sound_filter(stretch)]
        elif stretch > 1 and stream.kind != "attachment" and not stream.is_cover:
            arguments += [f"-bsf:{number}", packet_filter(stretch, end_seconds)]
        # Naming one stream's metadata turns the automatic copy off, so each is named.
        here = f"-metadata:s:{output_index}"
        arguments += [f"-map_metadata:s:{output_index}", f"1:s:{stream.index}"]
        if stream.kind in ("audio", "subtitle"):
            arguments += [f"-disposition:{number}", "+".join(_held(stream.roles, container)) or "0"]
            arguments += [here, f"title={stream.title}", here, "name="]
            warnings += _lost_roles(label, stream.roles, container)
            if container.ending == ".mov":
                language = _MOV_LANGUAGES.get(stream.language, stream.language)
                arguments += [here, f"language={language}"]
                if language in _NO_MOV_LANGUAGE:
                    warnings.append(f"{label}: .mov has no code for its language, {language}.")
        elif stream.kind == "data":
            arguments += [f"-tag:{number}", stream.tag]
        counts[stream.kind] += 1
        output_index += 1
    return StreamPlan(tuple(arguments), tuple(covers), counts["attachment"], tuple(warnings))


def rare_audio_warning(source: VideoInfo, container: Container) -> str | None:
    """Say which copied audio some players do not play; `None`: all play it."""
    rare = [stream for stream in source.streams_of("audio") if stream.codec in container.rare_audio]
    if not rare:
        return None
    named = ", ".join(dict.fromkeys(stream.codec for stream in rare))
    return (
        f"{container.ending} holds the sound as {named}, which QuickTime and many televisions do "
        'not play: `ffmpeg_output="-c:a aac"` converts it.'
    )


def _video_tags(source: VideoInfo, frame_rate: Fraction) -> list[str]:
    """Tags of the video stream: those of the source that are still true."""
    arguments = ["-map_metadata:s:0", f"1:s:{source.video_index}"]
    names = source.video_metadata
    tags = {name: "" for name in names if name.upper().partition("-")[0] in _STALE_TAGS}
    if title := source.video_metadata.get("name"):  # as FFmpeg reads MP4's titles
        tags |= {"title": title, "name": ""}
    for name, value in source.video_metadata.items():
        if name.lower() == "timecode" and source.frame_rate:
            tags[name] = _timecode(value, frame_rate / source.frame_rate)
    return [*arguments, *(x for tag in tags.items() for x in ("-metadata:s:0", "=".join(tag)))]


def _timecode(text: str, factor: Fraction) -> str:
    """A time code at `factor` times the rate: 01:00:00:12 becomes 01:00:00:24 at twice the rate."""
    parts = re.fullmatch(r"(\d\d:\d\d:\d\d[:;.])(\d+)", text.strip())
    return f"{parts[1]}{int(int(parts[2]) * factor):02d}" if parts else text


def attach_covers(plan: StreamPlan, source: Path, folder: Path) -> list[str]:
    """Extract the covers from the source into a folder, and have ffmpeg attach them.

    A Matroska cover is an attachment of a known name; a copied stream would be a second video.
    """
    arguments = []
    for number, stream in enumerate(plan.covers, plan.attachments):
        kind = {"mjpeg": "jpeg"}.get(stream.codec, stream.codec)
        name = stream.title if "." in stream.title else f"cover.{kind.replace('jpeg', 'jpg')}"
        path = folder / f"{number}.{kind}"
        with open_input(source) as container:
            packets = container.demux(container.streams[stream.index])
            path.write_bytes(next((bytes(packet) for packet in packets if packet.size), b""))
        arguments += ["-attach", file_url(path)]
        for tag in (f"filename={name}", f"mimetype=image/{kind}"):
            arguments += [f"-metadata:s:t:{number}", tag]
    return arguments


def _held(roles: tuple[str, ...], container: Container) -> list[str]:
    return [role for role in roles if role in container.roles]


def _lost_roles(label: str, roles: tuple[str, ...], container: Container) -> list[str]:
    # MP4 says both of each pair, and each means the other.
    implied = {
        twin
        for twin, role in (("captions", "hearing_impaired"), ("descriptions", "visual_impaired"))
        if role in roles
    }
    unsaid = [role for role in roles if role not in container.roles | implied]
    lost = [role.replace("_", " ") for role in unsaid]
    return [f"{label}: {container.ending} cannot say {', '.join(lost)}."] if lost else []


def _codec_for(stream: StreamInfo, container: Container) -> tuple[str | None, str | None]:
    """The codec argument (`None`: left out), and a warning (`None`: nothing to say)."""
    ending = container.ending
    if stream.kind == "audio":
        held = container.audio
        if stream.codec not in _NO_MATROSKA_AUDIO if held is None else stream.codec in held:
            return "copy", None
        encoder = container.audio_fallback
        return encoder, f"is converted with {encoder}, since {ending} does not hold it."
    if stream.kind == "subtitle":
        held = container.subtitles
        if stream.codec not in ("mov_text", "eia_608") if held is None else stream.codec in held:
            return "copy", None
        if stream.codec in _TEXT_SUBTITLES:
            codec = container.subtitle_fallback
            return codec, f"is converted to {codec}, since {ending} does not hold it."
        return None, f"is left out: {ending} holds no such subtitles (.mkv does)."
    if stream.kind == "attachment":
        if container.attachments:
            return "copy", None
        return None, f"is left out: {ending} holds no attachments (.mkv does)."
    if stream.is_cover and container.covers:
        return "copy", None
    if stream.kind == "video" and not stream.is_cover and ending != ".webm":
        return "copy", "is a second video: it is copied as it is, at its own rate."
    if stream.kind == "data" and stream.tag in container.data:
        return "copy", None
    return None, f"is left out: {ending} does not hold it."
