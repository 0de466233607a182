"""`python -m interp_cli`: the same as the `interp` command."""

from interp_cli.cli.app import main

if __name__ == "__main__":
    main()
