"""What a command that stays says of itself: lines that never hold up the work, repeat a trouble or show a secret."""

from ampedge.log.entry import about
from ampedge.log.redaction import keep_secret, redacted
from ampedge.log.writing import close, flush, logger, set_up

__all__ = ["about", "close", "flush", "keep_secret", "logger", "redacted", "set_up"]
