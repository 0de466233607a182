"""Data that is missing in the middle of a file without an index, which FFmpeg passes over.

A gap in the time stamps alone is no damage, as a frame rate may vary. Between the two frames a
transport stream must also have lost count of its packets, or bytes must lie that belong to no
packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from interp_cli.video.ffmpeg import all_packets, open_input
from interp_cli.video.libav_log import ErrorLog

_TRANSPORT = "mpegts"
# Formats in which a file may lack a part without any trace but this.
WITHOUT_INDEX = (_TRANSPORT, "nut")
# Longest header between two packets of NUT with the tables that it repeats.
_MAX_HEADER_BYTES = 1024


def lost_data(path: Path, video_index: int) -> Iterator[tuple[str, Fraction | None]]:
    """Find where data is missing, without decoding.

    Args:
        path: The file.
        video_index: The video stream's number.

    Yields:
        What is missing, in words, and the time of the frame behind the place.
    """
    with ErrorLog(None, av.logging.DEBUG) as log:
        # What is logged here does not count for a reader that is open meanwhile.
        container = log.observe(lambda: open_input(path))
        log.take()
        with container:
            yield from _gaps(container, video_index, log)


def _gaps(
    container: InputContainer, video_index: int, log: ErrorLog
) -> Iterator[tuple[str, Fraction | None]]:
    is_transport = container.format.name == _TRANSPORT
    last: Packet[Stream] | None = None
    step: int | None = None
    losses = [False, False]  # with this packet and the one before: packets are read ahead
    skipped, end, is_cut = 0, None, False
    packets = all_packets(container)
    while True:
        try:
            packet = log.observe(lambda: next(packets, None))
        except av.error.FFmpegError:
            return
        messages = log.take()
        losses[-1] |= any("Continuity check failed" in text for text in messages)
        is_told_cut = any("Packet corrupt" in text for text in messages)
        is_cut |= is_told_cut
        if packet is None or not packet.size:
            break
        if packet.pos is not None and packet.pos >= 0:
            if end is not None:
                skipped = max(skipped, packet.pos - end)
            end = packet.pos + packet.size
        if packet.stream_index != video_index or packet.dts is None:
            continue
        if last is None:
            if losses[-1] and not packet.is_keyframe and is_transport:
                yield "packets are missing at its start", None
        elif last.dts is not None and packet.dts > last.dts:
            length = packet.dts - last.dts
            step = length if step is None else min(step, length)
            is_lost = any(losses) if is_transport else skipped > _MAX_HEADER_BYTES
            if length >= 2 * step and is_lost and packet.time_base:
                yield "packets are missing", (packet.pts or packet.dts) * packet.time_base
        last, skipped, is_cut = packet, 0, is_told_cut
        losses = [losses[-1], False]
    if is_cut:
        yield "the file ends within a packet", None
