from fractions import Fraction

import pytest

from interp_cli.options import DoubleOptions, EncodeOptions, parse_ffmpeg_output, parse_frame_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60", Fraction(60)),
        ("12.5", Fraction(25, 2)),
        ("60000/1001", Fraction(60000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        ("47.952", Fraction(48000, 1001)),
        ("59.9", Fraction(599, 10)),
        ("60.0", Fraction(60)),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, rate: Fraction):
    assert parse_frame_rate(text) == rate


@pytest.mark.parametrize("text", ["fast", "60/0", "", "60fps"])
def test_no_rate_is_refused(text: str):
    with pytest.raises(ValueError, match=r"must be like 60, 59\.94 or 60000/1001"):
        parse_frame_rate(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 1}, "factor must be a whole number from 2 on, not 1"),
        ({"slow_motion": 0}, "slow motion must be a whole number from 2 on, not 0"),
        ({"factor": 2, "frame_rate": Fraction(60)}, "factor and frame rate both say"),
        ({"factor": 2, "slow_motion": 2}, "factor and slow motion both say"),
        ({"frame_rate": Fraction(0)}, "frame rate must be a fraction from 1/3600"),
        ({"frame_rate": 59.94}, "frame rate must be a fraction from 1/3600"),
        ({"frame_rate": Fraction(1, 3601)}, "frame rate must be a fraction from 1/3600"),
        ({"frame_rate": Fraction(1001)}, "frame rate must be a fraction .* to 1000"),
        ({"frame_rate": Fraction(2**31 + 1, 2**31)}, "frame rate must be a fraction"),
        ({"input_frame_rate": Fraction(1, 3601)}, "input fps must be a fraction from 1/3600"),
        ({"max_gap_seconds": 0}, "max gap must be above 0 s"),
        ({"fields": "weave"}, "fields must be refuse, deinterlace or detelecine"),
        (
            {"slow_motion": 2, "encode": EncodeOptions(ffmpeg_output=("-af", "volume=2"))},
            "slow motion filters the sound itself",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DoubleOptions(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-i other.mp4", "-i is not for you to set"),
        ("-map 0:a", "-map is not for you to set"),
        ("-f matroska", "-f is not for you to set"),
        ("-y", "-y is not for you to set; use --overwrite"),
        ("-an", "-an is not for you to set; use --no-audio"),
        ("-c:v libx265", "-c:v is not for you to set; use --encoder"),
        ("-codec libx265", "-codec is not for you to set; use --encoder"),
        ("-r 30", "-r is not for you to set; use --fps or --factor"),
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
        ("-bsf:v setts=pts=0", "-bsf:v: setts changes the packets' times"),
    ],
)
def test_ffmpeg_options_that_would_break_a_promise_are_refused(text, message):
    with pytest.raises(ValueError, match="ffmpeg output: ") as error:
        EncodeOptions(ffmpeg_output=parse_ffmpeg_output(text))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "-crf 20 -tune film -x264-params 'aq-mode=3:psy-rd=1.0,0.1'",
        "-c:a libopus -b:a 96k -metadata title='My film'",
        "-vf \"eq=gamma=1.1,drawtext=text='a,scale=2'\" -movflags +faststart",
        "-g -1",
        "",
    ],
)
def test_ffmpeg_options_for_encoder_and_muxer_pass(text):
    words = parse_ffmpeg_output(text)
    assert EncodeOptions(ffmpeg_output=words).ffmpeg_output == words


def test_a_missing_quotation_mark_is_named():
    with pytest.raises(ValueError, match="ffmpeg output: No closing quotation"):
        parse_ffmpeg_output("-metadata title='x")
