"""The `interp` command: its subcommands, and errors as one line and an exit code."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from interp_cli.cli.interruption import INTERRUPTED, interruptible
from interp_cli.cli.render import results, say_error
from interp_cli.cli.streams import finish_stdout, prepare_streams
from interp_cli.errors import InterpError, OptionError, PipeClosedError
from interp_cli.inference.process import tune_process

# What a shell reports of a program that wrote into a closed pipe: 128 and SIGPIPE.
_PIPE_CLOSED = 141
_COMMANDS = ("double", "train", "prepare", "eval", "bench", "info", "doctor")

app = typer.Typer(
    name="interp",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Double the frame rate of videos with a trained neural network.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from interp_cli import __version__

        results.print(f"interp {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Double the frame rate of videos with a trained neural network."""


def _help(docstring: str) -> str:
    """A docstring's paragraphs in one line each, which the terminal then wraps."""
    return "\n\n".join(" ".join(part.split()) for part in docstring.split("\n\n"))


for _name in _COMMANDS:
    _command = getattr(import_module(f"interp_cli.cli.{_name}"), _name)
    app.command(_name, help=_help(_command.__doc__ or ""))(_command)


def main() -> NoReturn:
    """Run the command line.

    Exit codes: 0 done, 1 failure, 2 usage, 130 interrupt, 141 output pipe closed.
    """
    prepare_streams()
    sys.exit(_run())


def _run() -> int:
    """Run the command; its exit code, unless it exits by itself with 0, 2 or 130."""
    try:
        with interruptible():
            tune_process()  # before a command loads torch
            try:
                Path.cwd()  # without a current folder torch ends the process
                app()
            finally:
                finish_stdout()
    except KeyboardInterrupt:  # just before or after the command itself
        return INTERRUPTED
    except (PipeClosedError, BrokenPipeError):
        return _PIPE_CLOSED  # the reader had enough: nothing to report
    except OptionError as error:
        say_error(error)
        return 2
    except (InterpError, OSError) as error:
        say_error(error)
        return 1
    return 0
