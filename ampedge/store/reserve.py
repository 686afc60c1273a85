"""Room on the disk that is held while there is plenty, and given up when there is none.

Without it a full disk would leave no room for what makes room: deleting rows has to be written, too.
"""

import os
import shutil
from pathlib import Path

RESERVE_BYTES = 4_194_304

_PLENTY = 8
"""It is taken where so many times its size is free."""


class Reserve:
    """A file of zeros beside the log that has no other use."""

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(f"{path.name}.reserve")

    def keep(self) -> None:
        """Take the room if it is not taken and there is plenty; where that cannot be done it is done without."""
        try:
            if self._file.exists() or shutil.disk_usage(self._file.parent).free < _PLENTY * RESERVE_BYTES:
                return
            with self._file.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except (OSError, AttributeError):
            self.give_up()

    def give_up(self) -> bool:
        """Leave the room to the log; whether there was any."""
        try:
            self._file.unlink()
        except OSError:
            return False
        return True
