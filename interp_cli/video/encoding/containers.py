"""The kinds of video files that are written, and what is preferred in each.

What a file can hold beyond that is asked of ffmpeg: see `stream_trial`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp_cli.errors import EncodeError


@dataclass(frozen=True, slots=True)
class Container:
    """One kind of file: its preferences.

    Attributes:
        ending: Suffix of the file's name, with its dot.
        muxer: ffmpeg's name of the format.
        encoder: Default encoder for 8-bit video.
        deep_encoder: Default encoder for more bits.
        copied: Common codecs of side streams that are copied into it without a trial.
        audio_fallback: Encoder for audio that it does not hold.
        subtitle_fallback: Codec that subtitles are converted to where it does not hold them.
        roles: Dispositions of streams that it can store.
        attachments: Whether it holds attachments, and covers as such.
        covers: Whether it holds cover pictures.
        data: Four-letter codes of data streams without a codec that mean the same in it. Others,
            such as Apple's `mebx`, need descriptions in the header that a copy would lose.
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
    copied: frozenset[str]
    audio_fallback: str
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
# Measured with FFmpeg 9: a copy of these is read back as what it was.
_MP4_COPIED = frozenset(
    """aac mp3 mp2 ac3 eac3 alac opus flac dts vorbis pcm_s16le pcm_s24le pcm_s16be pcm_s24be
    mov_text h264 hevc av1""".split()  # noqa: SIM905
)
_MOV_COPIED = _MP4_COPIED - {"opus", "flac", "vorbis", "av1"}
_MATROSKA_COPIED = (_MP4_COPIED - {"mov_text"}) | frozenset(
    """truehd subrip ass webvtt hdmv_pgs_subtitle dvd_subtitle dvb_subtitle vp8 vp9
    mpeg2video ttf otf""".split()  # noqa: SIM905
)
_WEBM_COPIED = frozenset({"opus", "vorbis", "webvtt", "vp8", "vp9", "av1"})
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
            _MP4_COPIED,
            "aac",
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
            _MOV_COPIED,
            "aac",
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
            _MATROSKA_COPIED,
            "flac",
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
            _WEBM_COPIED,
            "libopus",
            "webvtt",
            frozenset({"default", "forced", "captions", "descriptions", "metadata"}),
        ),
    )
}


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
