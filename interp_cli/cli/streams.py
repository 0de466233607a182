"""The standard streams: all of them open, every name can be shown, and nothing is lost silently."""

from __future__ import annotations

import contextlib
import io
import os
import sys

_STDOUT = 1


def prepare_streams() -> None:
    """Set up the standard streams of the process, before anything is opened or shown."""
    # The number of a closed stream would go to the next file that is opened, which would then get
    # what is printed. Reading a closed input and writing into a closed output fail.
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may have bytes that are no text


def finish_stdout() -> None:
    """Write what waits for standard output.

    Raises:
        OSError: That is not possible, for example on a full disk. What waited is lost.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # or Python tries again, and complains
            os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
        raise OSError(error.errno, error.strerror, "standard output") from error
