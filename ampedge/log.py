"""Logging for commands that stay: one line an event, no library's chatter."""

import logging
import sys
from collections.abc import Callable

logger = logging.getLogger("ampedge")


class _Lines(logging.Handler):
    """Hands each formatted line to a function."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record))
        except Exception:
            self.handleError(record)


def set_up(write: Callable[[str], object] | None = None, *, debug: bool = False) -> None:
    """Send ampedge's own log lines to `write`, or to stderr; with `debug`, more of them."""
    handler = logging.StreamHandler(sys.stderr) if write is None else _Lines(write)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
