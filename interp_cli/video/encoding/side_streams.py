"""What happens to the other streams of a source: copied, converted, or left out and named.

Common pairs of codec and container are known. For all others ffmpeg is asked, by a trial: first
for all of them together, and if that fails for each, first a copy, then a conversion. What fails
in the end all the same is left out then.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from interp_cli.video.encoding.containers import CONTAINERS, Container
from interp_cli.video.encoding.slow_motion import packet_filter, sound_encoder, sound_filter
from interp_cli.video.encoding.stream_trial import why_refused
from interp_cli.video.ffmpeg import file_url, input_arguments, open_input
from interp_cli.video.probe import StreamInfo, VideoInfo

# Subtitles that are converted without a trial, which might have to search a film for the first.
_TEXT_SUBTITLES = frozenset({"subrip", "ass", "ssa", "webvtt", "mov_text", "text"})
# Channel layouts that every encoder takes; the filter chooses the nearest.
_USUAL_LAYOUTS = "aformat=channel_layouts=7.1|6.1|5.1|5.0|quad|3.0|stereo|mono"
_LETTERS = {"audio": "a", "subtitle": "s", "attachment": "t", "video": "v", "data": "d"}
# Tags of a stream that are wrong after it is encoded: mostly mkvmerge's statistics, to which it may
# add a language (`BPS-eng`).
_STALE_TAGS = (
    *("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "DURATION", "_STATISTICS_TAGS"),
    *("_STATISTICS_WRITING_APP", "_STATISTICS_WRITING_DATE_UTC", "ENCODER", "ALPHA_MODE"),
)
# Tags of the MP4 family that describe the file itself.
_BRAND_TAGS = ("major_brand", "minor_version", "compatible_brands")
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
class CarriedStream:
    """A stream of the source that reaches the target, and how.

    Attributes:
        stream: The stream.
        codec: ffmpeg's name of the encoder, or `copy`.
        filters: Filters of a sound that is encoded.
        tags: Tags that the container requires and the stream lacks, as `name=value`.
        warning: What is said about it; empty where there is nothing to say.
    """

    stream: StreamInfo
    codec: str = "copy"
    filters: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    warning: str = ""

    @property
    def label(self) -> str:
        """Name of the stream in messages."""
        return _label(self.stream)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """How the source's side streams reach the target.

    Attributes:
        source: The file with the streams.
        container: Kind of the target.
        frame_rate: Rate of the new video, in which its time code counts.
        stretch: Factor of slow motion.
        end_seconds: End of the stretched streams; `None`: that of the source.
        streams: The streams that reach the target, in order.
        covers: Cover pictures that become attachments.
        left_out: What is said of the others.
        has_chapters: Whether chapters reach the target.
    """

    source: VideoInfo
    container: Container
    frame_rate: Fraction
    stretch: int = 1
    end_seconds: Fraction | None = None
    streams: tuple[CarriedStream, ...] = ()
    covers: tuple[StreamInfo, ...] = ()
    left_out: tuple[tuple[int, str], ...] = ()
    has_chapters: bool = True

    @property
    def attachments(self) -> int:
        """Number of attachments, besides the covers."""
        return sum(carried.stream.kind == "attachment" for carried in self.streams)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is converted or left out, and why, in the order of the source."""
        said = list(self.left_out)
        for carried in self.streams:
            index = carried.stream.index
            if carried.warning:
                said.append((index, f"{carried.label} {carried.warning}"))
            said += [(index, lost) for lost in _unsaid(carried, self.container)]
        lost = _lost_roles("the video", self.source.video_roles, self.container)
        return (*lost, *(text for _, text in sorted(said, key=lambda item: item[0])))

    def after(self, failed: CarriedStream, reason: str) -> StreamPlan:
        """The same with the next best for a stream that failed, which is named."""
        ways = _ways(failed.stream, self.container, self.stretch)
        following = ways[ways.index(failed) + 1 :] if failed in ways else []
        # What failed in one of these ways would fail in another copy.
        converted = [way for way in following if way.codec != "copy"]
        if not converted:
            return self.without(failed, reason)
        said = f"is converted with {converted[0].codec}, since a copy fails ({reason})."
        if failed.codec != "copy":
            said = converted[0].warning
        other = replace(converted[0], warning=said)
        return replace(self, streams=tuple(other if c is failed else c for c in self.streams))

    def without_chapters(self, reason: str) -> StreamPlan:
        """The same without chapters that failed, which are named."""
        said = f"the chapters are left out: they cannot be written ({reason})."
        left_out = (*self.left_out, (len(self.source.streams), said))
        return replace(self, has_chapters=False, left_out=left_out)

    def without(self, carried: CarriedStream, reason: str) -> StreamPlan:
        """The same without a stream that failed, which is named."""
        text = f"{carried.label} is left out: it cannot be written ({reason})."
        return replace(
            self,
            streams=tuple(other for other in self.streams if other is not carried),
            left_out=(*self.left_out, (carried.stream.index, text)),
        )

    def arguments(self) -> list[str]:
        """Arguments for ffmpeg's output, with the video as input 0 and the source as input 1."""
        source = self.source
        arguments = ["-map_metadata", "1", "-map_chapters", "1" if self.has_chapters else "-1"]
        for tag in _BRAND_TAGS:
            arguments += ["-metadata", f"{tag}="]
        known = {name.lower().partition("-")[0] for name in source.metadata} - set(_BRAND_TAGS)
        if self.container.tags is not None and known - self.container.tags:
            # All tags, in QuickTime's own list instead of the usual one.
            arguments += ["-movflags", "+use_metadata_tags"]
        # Where a file has it in that list and in its header, FFmpeg 9 reads both, joined.
        if created := source.metadata.get("creation_time"):
            arguments += ["-metadata", f"creation_time={created.partition(';')[0]}"]
        arguments += _video_tags(source, self.frame_rate)
        roles = "+".join(_held(source.video_roles, self.container)) or "0"
        arguments += ["-disposition:v:0", roles]
        return arguments + self.stream_arguments(self.streams)

    def stream_arguments(self, streams: Iterable[CarriedStream]) -> list[str]:
        """Arguments for ffmpeg's output that map streams and say what is done with each.

        The video comes before them, and the source is input 1.
        """
        arguments: list[str] = []
        counts = Counter({"video": 1})
        for output_index, carried in enumerate(streams, 1):
            stream = carried.stream
            number = f"{_LETTERS[stream.kind]}:{counts[stream.kind]}"
            counts[stream.kind] += 1
            arguments += ["-map", f"1:{stream.index}", f"-c:{number}", carried.codec]
            if carried.filters:
                arguments += [f"-filter:{number}", ",".join(carried.filters)]
            elif self.stretch > 1 and not stream.is_cover and stream.kind != "attachment":
                arguments += [f"-bsf:{number}", packet_filter(self.stretch, self.end_seconds)]
            # Naming one stream's metadata turns the automatic copy off, so each is named.
            here = f"-metadata:s:{output_index}"
            arguments += [f"-map_metadata:s:{output_index}", f"1:s:{stream.index}"]
            if stream.kind in ("audio", "subtitle"):
                roles = "+".join(_held(stream.roles, self.container)) or "0"
                arguments += [f"-disposition:{number}", roles]
                arguments += [here, f"title={stream.title}", here, "name="]
                if self.container.ending == ".mov":
                    arguments += [here, f"language={_mov_language(stream)}"]
            elif stream.kind == "data" and stream.tag in self.container.data:
                arguments += [f"-tag:{number}", stream.tag]
            for tag in carried.tags:
                arguments += [here, tag]
        return arguments


def plan_streams(
    source: VideoInfo,
    container: Container,
    frame_rate: Fraction,
    *,
    audio: bool,
    stretch: int = 1,
    end_seconds: Fraction | None = None,
    inputs: Sequence[str] = (),
) -> StreamPlan:
    """Decide for every other stream whether it is copied, converted or left out.

    Args:
        source: The file with the streams, input 1 of ffmpeg.
        container: Kind of the target.
        frame_rate: Rate of the new video, in which its time code counts.
        audio: Whether audio is kept.
        stretch: Factor of slow motion. Stretched audio is encoded again.
        end_seconds: End of the stretched streams; `None`: that of the source.
        inputs: Arguments that open the source in ffmpeg, for trials; by default as a whole.
    """
    plan = StreamPlan(source, container, frame_rate, stretch, end_seconds)
    inputs = inputs or input_arguments(source.path, source.container)
    covers: list[StreamInfo] = []
    ways: dict[StreamInfo, list[CarriedStream]] = {}
    for stream in source.streams:
        if stream.kind == "audio" and not audio:
            continue
        if stream.kind == "data" and stream.tag in ("text", "tmcd"):
            continue  # chapters and the time code, which ffmpeg writes again
        if stream.is_cover and container.attachments:
            covers.append(stream)
        else:
            ways[stream] = _ways(stream, container, stretch)

    def fault(*carried: CarriedStream) -> str:
        copies = [c.stream for c in carried if c.codec == "copy"]
        return why_refused(inputs, plan.stream_arguments(carried), copies, container)

    reasons: dict[StreamInfo, str] = {}
    tried = [s for s, found in ways.items() if found and not _is_known(found[0], plan)]
    if tried and fault(*(ways[stream][0] for stream in tried)):
        for stream in tried:
            while ways[stream] and (reason := fault(ways[stream][0])):
                reasons[stream] = reason
                del ways[stream][0]
    lost = [stream for stream, found in ways.items() if not found]
    return replace(
        plan,
        streams=tuple(found[0] for found in ways.values() if found),
        covers=tuple(covers),
        left_out=tuple((s.index, _why_left_out(s, container, reasons.get(s, ""))) for s in lost),
    )


def _ways(stream: StreamInfo, container: Container, stretch: int) -> list[CarriedStream]:
    """What can be done with a stream, the best first; none: it is left out."""
    copy, ending = CarriedStream(stream), container.ending
    if stream.kind == "audio":
        slower = (sound_filter(stretch),) if stretch > 1 else ()
        same = sound_encoder(stream.codec)
        encoder = container.audio_fallback
        said = f"is converted with {encoder}, since {ending} does not hold it."
        ways = [CarriedStream(stream, encoder, slower, warning=said)]
        said = f"is converted with {encoder} in another channel layout, since {ending} does not "
        filters = (*slower, _USUAL_LAYOUTS)
        ways.append(CarriedStream(stream, encoder, filters, warning=said + "hold it."))
        if stretch > 1:
            # Every sound is encoded again, which needs no word where its codec stays.
            return [CarriedStream(stream, same or encoder, slower), *ways]
        # Without a decoder nobody can say whether a copy can be played.
        return [copy, *ways] if stream.is_decodable else ways
    if stream.kind == "subtitle":
        codec = container.subtitle_fallback
        said = f"is converted to {codec}, since {ending} does not hold it."
        converted = CarriedStream(stream, codec, warning=said)
        known = stream.codec in _TEXT_SUBTITLES and stream.codec not in container.copied
        return [converted] if known else [copy, converted]
    if stream.kind == "attachment":
        kind = "mimetype=application/octet-stream"
        named = f"filename={stream.title or f'attachment_{stream.index}'}"
        tagged = [replace(copy, tags=(kind,)), replace(copy, tags=(kind, named))]
        return [copy, *tagged] if container.attachments else []
    if stream.is_cover:
        said = f"is converted to PNG, since {ending} does not hold it."
        return [copy, CarriedStream(stream, "png", warning=said)] if container.covers else []
    if stream.kind == "video":
        said = "is a second video: it is copied as it is, at its own rate."
        return [replace(copy, warning=said)]
    # What the header says of other data is lost in a copy.
    return [copy] if stream.tag in container.data else []


def _is_known(carried: CarriedStream, plan: StreamPlan) -> bool:
    """Whether this works without a trial."""
    stream, copied = carried.stream, plan.container.copied
    if stream.kind == "audio":
        return carried.codec == "copy" and stream.codec in copied and stream.is_decodable
    if stream.kind == "subtitle" and carried.codec != "copy":
        return stream.codec in _TEXT_SUBTITLES
    if stream.kind == "attachment":
        return stream.codec in copied and bool(stream.title)
    return stream.codec in copied or (stream.is_cover and stream.codec in ("mjpeg", "png"))


def _why_left_out(stream: StreamInfo, container: Container, reason: str) -> str:
    """What is said of a stream that is left out."""
    why = f"{container.ending} does not hold it"
    if stream.kind == "audio":
        why += f", and it cannot be converted ({reason})"
    elif stream.kind in ("subtitle", "attachment", "video") and container.ending != ".mkv":
        matroska = CONTAINERS[".mkv"]
        if stream.is_cover or stream.codec in matroska.copied or stream.kind == "attachment":
            why += " (.mkv does)"
    return f"{_label(stream)} is left out: {why}."


def _label(stream: StreamInfo) -> str:
    known = stream.codec if stream.kind != "data" else ""
    return f"{stream.kind} stream {stream.index} ({known or stream.tag or 'unknown'})"


def _unsaid(carried: CarriedStream, container: Container) -> list[str]:
    """Roles and languages of a stream that the container cannot store."""
    stream = carried.stream
    if stream.kind not in ("audio", "subtitle"):
        return []
    said = _lost_roles(carried.label, stream.roles, container)
    language = _mov_language(stream)
    if container.ending == ".mov" and language in _NO_MOV_LANGUAGE:
        said.append(f"{carried.label}: .mov has no code for its language, {language}.")
    return said


def _mov_language(stream: StreamInfo) -> str:
    return _MOV_LANGUAGES.get(stream.language, stream.language)


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


def attach_covers(plan: StreamPlan, folder: Path) -> list[str]:
    """Extract the covers from the source into a folder, and have ffmpeg attach them.

    A Matroska cover is an attachment of a known name; a copied stream would be a second video.
    """
    arguments: list[str] = []
    number = plan.attachments
    for stream in plan.covers:
        kind = {"mjpeg": "jpeg"}.get(stream.codec, stream.codec)
        name = stream.title if "." in stream.title else f"cover.{kind.replace('jpeg', 'jpg')}"
        path = folder / f"{number}.{kind}"
        with open_input(plan.source.path) as container:
            packets = container.demux(container.streams[stream.index])
            picture = next((bytes(packet) for packet in packets if packet.size), b"")
        if not picture:
            continue  # ffmpeg attaches no empty file
        path.write_bytes(picture)
        arguments += ["-attach", file_url(path)]
        for tag in (f"filename={name}", f"mimetype=image/{kind}"):
            arguments += [f"-metadata:s:t:{number}", tag]
        number += 1
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
