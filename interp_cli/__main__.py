"""The `interp` command, also as `python -m interp_cli`."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line, and run it."""
    # Loading takes a moment and leaves nothing to clear up, so Ctrl-C just ends the process
    # meanwhile. The command then listens to signals itself.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from interp_cli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
