"""Where results are printed for people."""

import os

from rich.console import Console

ANY_WIDTH = 10_000
"""What nothing that is printed is as wide as."""


def result_console() -> Console:
    """On a terminal lines wrap at words; without one nothing is wrapped or cut, unless COLUMNS gives a width."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.soft_wrap = True
        if "COLUMNS" not in os.environ:
            console.width = ANY_WIDTH
    return console
