import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest

from interp_cli.benchmarking.contenders import (
    Contender,
    count_frames,
    create_contenders,
    load_interpolators,
)
from interp_cli.errors import InterpError, WeightsError
from interp_cli.evaluation.baselines import Blend, DisFlow
from interp_cli.options import BenchOptions, EncodeOptions
from interp_cli.video.encoding.encoders import choose_encoder


def python(code: str) -> str:
    """A command line of another program."""
    return f"{shlex.join([sys.executable, '-c', code])} {{input}} {{output}}"


COPY = python("import shutil, sys; shutil.copy(*sys.argv[1:])")


def contender(clip: Path, folder: Path, **options: object) -> Contender:
    """The only one that is asked for."""
    asked = BenchOptions(**options)
    (made,) = create_contenders(clip, folder, asked, load_interpolators(asked))
    return made


def test_another_program_gets_the_names(h264_clip: Path, tmp_path: Path) -> None:
    copier = contender(h264_clip, tmp_path, compare_commands=(COPY,))
    assert copier.name == COPY
    copier.run()
    copier.run()  # what is there already is in nobody's way
    assert copier.target.read_bytes() == h264_clip.read_bytes()
    assert count_frames(copier.target) == 12


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (python("import sys; print('a'); sys.exit('no model')"), r"exit code 1 \(no model\)\. Try"),
        (python("print('done')"), r"failed with no output file \(done\)"),
        (python("pass"), r"no output file \(it said nothing\)"),
        ("no-such-program {input} {output}", r"cannot be started \(No such file or directory\)"),
    ],
)
def test_what_fails_is_one_clear_line(
    h264_clip: Path, tmp_path: Path, command: str, message: str
) -> None:
    failing = contender(h264_clip, tmp_path, compare_commands=(command,))
    with pytest.raises(InterpError, match=message) as caught:
        failing.run()
    assert str(caught.value).startswith(command)
    assert "\n" not in str(caught.value)


def test_minterpolate_runs_with_our_encoder(h264_clip: Path, tmp_path: Path) -> None:
    filtering = contender(h264_clip, tmp_path, compare=("minterpolate",), preset="ultrafast")
    filtering.run()
    # It drops the ends, where it has no neighbours to look at.
    assert 18 <= count_frames(filtering.target) <= 24
    # x264 notes its settings in the stream.
    assert b" me=dia " in filtering.target.read_bytes()
    assert b" crf=17.0 " in filtering.target.read_bytes()


@pytest.mark.parametrize("name", ["blend", "dis"])
def test_classical_methods_go_through_our_pipeline(
    ffv1_clip: Path, tmp_path: Path, name: str
) -> None:
    classical = contender(ffv1_clip, tmp_path, compare=(name,), preset="ultrafast")
    classical.run()
    assert count_frames(classical.target) == 24


@pytest.mark.parametrize("method", [Blend, DisFlow])
def test_their_pictures_are_those_of_eval(method: type[Blend | DisFlow]) -> None:
    interpolator = load_interpolators(BenchOptions(compare=(method.name,)))[method.name]
    assert interpolator.name == method.name
    frames = [clips.true_frame(0), clips.true_frame(2)]
    ((expected,),) = method().between(frames, [Fraction(1, 2)])
    assert np.array_equal(interpolator(*frames), expected)


def test_several_threads_may_ask_at_once() -> None:
    # OpenCV's flow keeps what it works on: shared, it ended the process.
    interpolator = load_interpolators(BenchOptions(compare=("dis",)))["dis"]
    pairs = [(clips.true_frame(n), clips.true_frame(n + 2)) for n in range(8)]
    alone = [interpolator(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pair: interpolator(*pair), pairs))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_name_of_nothing_is_refused() -> None:
    with pytest.raises(WeightsError, match="rife"):
        load_interpolators(BenchOptions(compare=("minterpolate", "rife")))


def test_each_is_run_once_though_named_twice(h264_clip: Path, tmp_path: Path) -> None:
    options = BenchOptions(compare=("blend", "blend"), compare_commands=(COPY, COPY))
    made = create_contenders(h264_clip, tmp_path, options, load_interpolators(options))
    assert [each.name for each in made] == ["blend", COPY]
    assert len({each.target for each in made}) == 2


def test_the_preset_is_that_of_double(h264_clip: Path) -> None:
    from interp_cli.benchmarking.contenders import double_options
    from interp_cli.video.pixel_format import pixel_format_of
    from interp_cli.video.probe import tags_of

    image = clips.decoded(h264_clip)[0]
    layout = pixel_format_of(image, tags_of(image))
    stated = choose_encoder("libx264", layout, double_options(BenchOptions()).encode)
    assert stated == choose_encoder("libx264", layout, EncodeOptions())
