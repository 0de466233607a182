"""What `ffmpeg_output` may contain: options of the encoder and the muxer, and no more.

ffmpeg's own options are all known by name here, since those without a value would turn the next
word into a file name. Everything else is an option of a codec or a muxer, which always has one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPTION = re.compile(r"-([A-Za-z_][\w-]*)((?::[\w#-]+)*)")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ffmpeg's own options for inputs, maps, times, sizes and files, and all that have no value.
_REFUSED = _names("""
    i f y n map map_metadata map_chapters map_channel t to ss sseof fs frames vframes aframes
    dframes shortest shortest_buf_duration r fpsmax fps_mode vsync force_fps s aspect pix_fmt
    time_base enc_time_base copyts start_at_zero copytb itsoffset itsscale isync re readrate
    readrate_initial_burst readrate_catchup stream_loop accurate_seek
    seek_timestamp copyinkf copypriorss muxdelay muxpreload target streamid stream_group discard
    filter_complex lavfi filter_complex_script filter_script filter_threads
    filter_complex_threads filter_buffered_frames reinit_filter drop_changed autoscale
    auto_conversion_filters autorotate
    apply_cropping display_rotation display_hflip display_vflip mastering_display content_light
    fix_sub_duration fix_sub_duration_heartbeat canvas_size apad vcodec dcodec vn an sn dn
    pass passlogfile vstats vstats_file vstats_version stats_enc_pre stats_enc_post
    stats_mux_pre stats_enc_pre_fmt stats_enc_post_fmt stats_mux_pre_fmt sdp_file
    dump_attachment attach pre fpre vpre apre spre thread_queue_size find_stream_info hwaccel
    hwaccel_device hwaccel_output_format vaapi_device qsv_device init_hw_device
    filter_hw_device v loglevel report max_alloc cpuflags cpucount hide_banner ignore_unknown
    copy_unknown recast_media benchmark benchmark_all progress stdin stats
    stats_period timelimit dump hex frame_drop_threshold dts_delta_threshold
    dts_error_threshold xerror abort_on debug_ts max_error_rate print_graphs print_graphs_file
    print_graphs_format bitexact L h help version license muxers demuxers devices decoders
    encoders filters pix_fmts layouts sample_fmts buildconf formats codecs bsfs protocols
    dispositions colors sources sinks
    output_ts_offset avoid_negative_ts fflags protocol_whitelist protocol_blacklist use_editlist
""")
_INSTEAD = {
    "vcodec": "`encoder`",
    "pix_fmt": "`pixel_format`",
    "r": "`frame_rate` or `factor`",
    "an": "`audio=False`",
    "ss": "`start_seconds`",
    "t": "`end_seconds`",
    "to": "`end_seconds`",
    "y": "`overwrite`",
}
# Filters after which there would be other frames, other times or another size.
_REFUSED_FILTERS = _names("""
    scale scale2ref zscale libplacebo crop pad transpose rotate fillborders fps framerate
    minterpolate framestep select aselect setpts asetpts settb asettb trim atrim loop aloop
    reverse areverse tpad apad atempo rubberband decimate mpdecimate dejudder fieldmatch pullup
    detelecine telecine tinterlace interlace separatefields weave doubleweave field fieldhint
    yadif bwdif estdif w3fdif nnedi kerndeint mcdeint il tblend tmix freezeframes shuffleframes
    random thumbnail tile untile stack hstack vstack xstack concat split asplit movie amovie
    overlay xfade super2xsai hqx xbr epx repeatfields shear perspective v360 lenscorrection
    zoompan cue acue realtime arealtime sendcmd zmq streamselect interleave vidstabtransform
    deshake
""")
_REFUSED_PACKET_FILTERS = _names("setts noise dts2pts")


def find_fault(words: Sequence[str]) -> str | None:
    """What is wrong with options for ffmpeg's output; `None`: nothing.

    Args:
        words: `-name`, value, `-name`, value and so on.
    """
    for i in range(0, len(words), 2):
        word = words[i]
        match = _OPTION.fullmatch(word)
        if match is None:
            return f"{word!r} is no option; files and other outputs cannot be given"
        name, specifier = match.groups()
        instead = _INSTEAD.get(name)
        if name in ("c", "codec") and specifier[1:2] not in ("a", "s"):
            instead, name = _INSTEAD["vcodec"], "vcodec"
        if name in _REFUSED or name.removeprefix("no") in _REFUSED:
            return f"{word} is not for you to set" + (f"; use {instead}" if instead else "")
        if i + 1 == len(words):
            return f"{word} has no value"
        value = words[i + 1]
        if name in ("vf", "af", "filter"):
            bad = next(iter(filter_names(value) & _REFUSED_FILTERS), None)
            if bad or "[" in value or ";" in value:
                what = f"{bad} changes" if bad else "a graph with labels may change"
                return f"{word}: {what} the number, the times or the size of the frames"
        if name == "bsf" and (bad := next(iter(filter_names(value) & _REFUSED_PACKET_FILTERS), "")):
            return f"{word}: {bad} changes the packets' times"
    return None


def filter_names(chain: str) -> set[str]:
    """The filters of a chain such as `eq=gamma=1.1,unsharp`."""
    bare = re.sub(r"\\.|'[^']*'", "", chain)
    return {re.split("[=@]", part.strip())[0] for part in bare.split(",")}


def split_video_filter(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Take the filter for the video out of the options, which has to join our own."""
    chain, rest = None, []
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name in ("-vf", "-filter", "-filter:v", "-filter:v:0"):
            chain = value
        else:
            rest += [name, value]
    return chain, rest
