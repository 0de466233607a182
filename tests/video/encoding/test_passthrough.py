"""What a user may hand to ffmpeg: what its encoders and its muxer list, and nothing else."""

import subprocess
from dataclasses import replace

import pytest

from interp_cli.cli.parsing import parse_ffmpeg_output
from interp_cli.errors import OptionError, UnknownEncoderError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding import listings
from interp_cli.video.encoding.containers import CONTAINERS
from interp_cli.video.encoding.passthrough import check_ffmpeg_output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-i other.mp4", "-i is not for you to set"),
        ("-map 0:a", "-map is not for you to set"),
        ("-f matroska", "-f is not for you to set"),
        ("-y", "-y is not for you to set; use `overwrite`"),
        ("-an", "-an is not for you to set; use `audio=False`"),
        ("-c:v libx265", "-c:v is not for you to set; use `encoder`"),
        ("-codec libx265", "-codec is not for you to set; use `encoder`"),
        ("-r 30", "-r is not for you to set; use `frame_rate` or `factor`"),
        ("-crf 20 -copyts", "-copyts is not for you to set"),
        ("-shortest second.mp4", "-shortest is not for you to set"),
        ("-noautorotate x", "-noautorotate is not for you to set"),
        ("-s 640x480", "-s is not for you to set"),
        ("-output_ts_offset 5", "-output_ts_offset is not for you to set"),
        ("-crf 20 second.mp4", "'second.mp4' is no option; files and other outputs"),
        ("-/filter:v file", "'-/filter:v' is no option"),
        ("-crf", "-crf has no value"),
        ("-vf scale=640:-2", "-vf: scale is not among the filters that keep sizes"),
        ("-filter:v eq=gamma=1.1,fps=30", "-filter:v: fps is not among"),
        ("-vf '[in]eq'", "-vf: a graph with labels may change"),
        ("-vf minterpolate=fps=60", "-vf: minterpolate is not among"),
        ("-vf eq,nosuch", "-vf: nosuch is no filter of this ffmpeg"),
        ("-af atempo=2", "-af: atempo is not among"),
        ("-filter:a:0 volume=2,adelay=5", "-filter:a:0: adelay is not among"),
        ("-c:a aac -application audio", "-application is no option of the encoders (aac, "),
        ("-frag 3", "-frag is no option of the encoders"),
        ("-vf \"'scale'=32:24\"", "-vf: scale is not among the filters"),
        (r"-vf 'sc\ale=32:24'", "-vf: scale is not among the filters"),
        ("-vf 'eq , histogram'", "-vf: histogram is not among the filters"),
        ("-vf 'eq;scale=32:24'", "-vf: a graph with labels may change"),
        ("-vf metadata=print:file=m.txt", "-vf: metadata is not among the filters"),
        ("-vf signature=filename=s.xml", "-vf: signature is not among the filters"),
        ("-vf tlut2", "-vf: tlut2 is not among the filters"),
        ("-vf curves=plot=p.txt", "-vf: curves must not write a file (plot)"),
        ("-vf curves=none:::::::p.txt", "-vf: curves must not write a file (plot)"),
        ("-vf ''", "-vf: '' is no filter of this ffmpeg"),
        ("-filter:V negate", "-filter:V: the video is stream v:0, and no other can be filtered"),
        ("-af ametadata=print:file=m.txt", "-af: ametadata is not among the filters"),
        ("-af loudnorm=stats_file=s.txt", "-af: loudnorm must not write a file (stats_file)"),
        ("-bsf:v \"'setts'=pts=0\"", "-bsf:v: setts is not among the filters"),
        (r"-bsf:v 'null,se\tts=pts=0'", "-bsf:v: setts is not among the filters"),
        ("-bsf:v noise=drop=1", "-bsf:v: noise is not among the filters"),
        ("-pass 1", "-pass is not for you to set"),
        ("-stats x.mkv", "-stats is not for you to set"),
        ("-vstats_file v.log", "-vstats_file is not for you to set"),
        ("-x264-params dump-yuv=y.yuv", "-x264-params: 'dump-yuv' is not among the parameters"),
        (r"-x264-params 'crf=9:du\mp_yuv=y'", "-x264-params: 'dump_yuv' is not among"),
        ("-x264opts no-mbtree:stats=s.log", "-x264opts: 'stats' is not among the parameters"),
        ("-bsf:v setts=pts=0", "-bsf:v: setts is not among"),
    ],
)
def test_ffmpeg_options_that_would_break_a_promise_are_refused(text, message):
    options = EncodeOptions(encoder="libx264", ffmpeg_output=parse_ffmpeg_output(text))
    with pytest.raises(OptionError, match="`ffmpeg_output`: ") as error:
        check_ffmpeg_output(options, CONTAINERS[".mp4"])
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "-crf 20 -tune film -x264-params 'aq-mode=3:psy-rd=1.0,0.1'",
        "-c:a libopus -b:a 96k -metadata title='My film'",
        "-vf \"eq=gamma=1.1,drawtext=text='a,scale=2'\" -movflags +faststart",
        "-g -1",
        "-c:a libopus -application audio -af loudnorm",
        "-vf unsharp,subtitles=words.srt -profile:v high -bf 2",
        "-vf \"eq@a=gamma=1.1:enable='between(t,0,1)' , curves=vintage\"",
        "-af loudnorm=-16:11:-1.5,arnndn=m=voice.rnnn -bsf:v h264_metadata=level=4",
        r"-x264-params 'no-mbtree=1:psy_rd=1.0,0.2:deblock=-1\:-1' -x264opts no-mbtree:ref=2",
        "",
    ],
)
def test_ffmpeg_options_for_encoder_and_muxer_pass(text):
    options = EncodeOptions(encoder="libx264", ffmpeg_output=parse_ffmpeg_output(text))
    check_ffmpeg_output(options, CONTAINERS[".mp4"])


def test_the_encoders_that_will_be_used_are_asked():
    words = EncodeOptions(ffmpeg_output=("-tune", "film"))
    check_ffmpeg_output(words, CONTAINERS[".mkv"])  # libx264 or libx265
    check_ffmpeg_output(replace(words, encoder="h264"), CONTAINERS[".mkv"])
    with pytest.raises(OptionError, match=r"-tune is no option of the encoders \(ffv1, flac\)"):
        check_ffmpeg_output(replace(words, encoder="ffv1"), CONTAINERS[".mkv"])
    with pytest.raises(UnknownEncoderError, match="unknown encoder 'nope'"):
        check_ffmpeg_output(
            EncodeOptions(ffmpeg_output=("-c:a", "nope", "-b:a", "9k")), CONTAINERS[".mp4"]
        )


def test_the_list_of_filters_of_an_older_ffmpeg_is_read(monkeypatch: pytest.MonkeyPatch):
    listed = " TSC eq  V->V  Adjust.\n ..C scale  V->V  Scale.\n T.. volume  A->A  Louder.\n"
    done = subprocess.CompletedProcess([], 0, stdout=listed, stderr="")
    monkeypatch.setattr(listings, "ask_ffmpeg", lambda *arguments: done)
    found = listings.filters.__wrapped__()
    assert found == {"eq": ("TSC", "V->V"), "scale": ("..C", "V->V"), "volume": ("T..", "A->A")}
