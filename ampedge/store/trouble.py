"""What can be wrong with the log's file, in the two kinds that are mended differently, and for how long."""

from ampedge.log import logger

RETRY_S = 5.0


class Unwritable(Exception):
    """The file cannot be written or read now: full, read-only, locked, gone; it is tried again."""

    def __init__(self, problem: str, *, full: bool = False) -> None:
        super().__init__(problem)
        self.full = full


class Damaged(Exception):
    """The file is not, or not wholly, a log any more: it is set aside."""


class Trouble:
    """Says once when the file cannot be used and once when it can again; until then it is tried now and then."""

    def __init__(self, what: str) -> None:
        self.problem: str | None = None
        self.retry_s: float | None = None
        self.full = False
        self._what = what

    def begin(self, error: Unwritable, now_s: float) -> None:
        """The file cannot be used."""
        problem = f"{self._what} cannot be used now ({error}): events are kept in memory until it can."
        if problem != self.problem:
            logger.error(problem)
        self.problem, self.retry_s, self.full = problem, now_s + RETRY_S, error.full

    def end(self) -> None:
        """It can, again or still."""
        if self.problem is not None:
            logger.warning("%s can be used again.", self._what)
        self.problem = self.retry_s = None
