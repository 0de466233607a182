"""A default stands in an option dataclass and nowhere else: commands take it from there."""

import dataclasses
import inspect

import pytest
import typer

from interp_cli.cli.app import app
from interp_cli.cli.messages import flag_of
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import (
    BenchOptions,
    DoubleOptions,
    EncodeOptions,
    EvalOptions,
    InferenceOptions,
)
from interp_cli.training.options import PrepareOptions

OPTIONS = {
    "double": (DoubleOptions(), DoubleOptions().inference, EncodeOptions()),
    "eval": (EvalOptions(), EvalOptions().inference),
    "bench": (BenchOptions(), BenchOptions().inference),
    "prepare": (PrepareOptions(),),
}
INFERENCE = dataclasses.fields(InferenceOptions)
# Flags that switch something off, or of which several make one option.
SWITCHES = {"audio", "fields"}


def test_the_interpolator_has_the_defaults_of_its_options() -> None:
    parameters = inspect.signature(Interpolator.__init__).parameters
    defaults = {f.name: parameters[f.name].default for f in INFERENCE}
    # Single pictures are not in a hurry; a video takes what suits the device.
    assert defaults.pop("quality") == "best"
    assert defaults == {f.name: f.default for f in INFERENCE if f.name != "quality"}


@pytest.mark.parametrize("name", typer.main.get_command(app).commands)
def test_every_command_can_be_quiet_and_answer_in_json(name: str) -> None:
    parameters = typer.main.get_command(app).commands[name].params
    assert {"--quiet", "--json"} <= {flag for parameter in parameters for flag in parameter.opts}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_defaults_of_a_command_are_those_of_its_options(name: str) -> None:
    command = typer.main.get_command(app).commands[name]
    defaults = {parameter.opts[0]: parameter.default for parameter in command.params}
    compared = 0
    for options in OPTIONS[name]:
        for field in dataclasses.fields(options):
            flag, value = flag_of(field.name), getattr(options, field.name)
            if field.name in SWITCHES or flag not in defaults or dataclasses.is_dataclass(value):
                continue
            default = defaults[flag]
            if isinstance(value, tuple):
                value = ",".join(map(str, value)) if isinstance(default, str) else None
            assert default == value, flag
            compared += 1
    assert compared >= 2
