"""A file of lines that never grows beyond its size: it is renamed away, and the oldest is removed."""

import errno
import os
from contextlib import suppress
from pathlib import Path


class RotatingFile:
    """`path` and at most `backups` older ones, `path.1` the youngest of them; each of at most `max_bytes`.

    A line stands there whole or not at all, also on a full disk and behind a line that a power cut has torn.
    """

    def __init__(self, path: Path, *, max_bytes: int, backups: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._backups = backups
        self._handle: int | None = None

    def write(self, line: str) -> None:
        """Add a line; raises OSError, and the next call begins anew."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            handle = self._open()
            size = os.fstat(handle).st_size
            if size and size + len(data) > self._max_bytes:
                self._rotate()
                handle, size = self._open(), 0
            if size and os.pread(handle, 1, size - 1) != b"\n":
                data = b"\n" + data
            if os.write(handle, data) < len(data):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            with suppress(OSError):
                os.close(handle)

    def _open(self) -> int:
        """The file at `path`, which somebody may have removed or renamed since the last line."""
        if self._handle is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(self.path.stat(), os.fstat(self._handle)):
                    return self._handle
            self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        return self._handle

    def _rotate(self) -> None:
        self.close()
        names = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self._backups + 1))]
        if self._backups == 0:
            self.path.unlink()
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            with suppress(FileNotFoundError):
                newer.replace(older)
