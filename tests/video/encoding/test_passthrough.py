"""What a user may hand to ffmpeg: what its encoders and its muxer list, and nothing else."""

import subprocess
from dataclasses import replace

import pytest

from interp_cli.cli.parsing import parse_ffmpeg_output
from interp_cli.errors import OptionError, UnknownEncoderError
from interp_cli.options import EncodeOptions
from interp_cli.video.encoding import passthrough
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
        ("-vf scale=640:-2", "-vf: scale changes the number, the times or the size"),
        ("-filter:v eq=gamma=1.1,fps=30", "-filter:v: fps changes"),
        ("-vf '[in]eq'", "-vf: a graph with labels may change"),
        ("-vf minterpolate=fps=60", "-vf: minterpolate changes the number, the times or the size"),
        ("-vf eq,nosuch", "-vf: nosuch is no filter of this ffmpeg"),
        ("-af atempo=2", "-af: atempo changes"),
        ("-filter:a:0 volume=2,adelay=5", "-filter:a:0: adelay changes"),
        ("-c:a aac -application audio", "-application is no option of the encoders (aac, "),
        ("-frag 3", "-frag is no option of the encoders"),
        ("-bsf:v setts=pts=0", "-bsf:v: setts changes the packets' times"),
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
    monkeypatch.setattr(passthrough, "run_ffmpeg", lambda *arguments: done)
    found = passthrough._filters.__wrapped__()
    assert found == {"eq": ("TSC", "V->V"), "scale": ("..C", "V->V"), "volume": ("T..", "A->A")}
