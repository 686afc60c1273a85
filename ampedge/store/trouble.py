"""What can be wrong with the log's file, in the two kinds that are mended differently."""


class Unwritable(Exception):
    """The file cannot be written or read now: full, read-only, locked, gone; it is tried again."""

    def __init__(self, problem: str, *, full: bool = False) -> None:
        super().__init__(problem)
        self.full = full


class Damaged(Exception):
    """The file is not, or not wholly, a log any more: it is set aside."""
