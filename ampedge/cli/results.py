"""Where results are printed for people."""

import os

from rich.console import Console

_ANY_WIDTH = 10_000


def result_console() -> Console:
    """On a terminal lines wrap at words; without one nothing is wrapped or cut, unless COLUMNS gives a width."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.soft_wrap = True
        if "COLUMNS" not in os.environ:
            console.width = _ANY_WIDTH
    return console
