"""Logging for commands that stay: one line an event on stderr, no library's chatter."""

import logging
import sys

logger = logging.getLogger("ampedge")


def set_up(*, debug: bool = False) -> None:
    """Send ampedge's own log lines to stderr; with `debug`, more of them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
