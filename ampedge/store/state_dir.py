"""The state directory: one service at a time, and a plain word where it cannot be had."""

import os
import time
from pathlib import Path
from types import TracebackType

from ampedge.errors import InUseError
from ampedge.log import logger

LOCK_NAME = "lock"

_PATIENCE_S = 0.3
"""`holder` of another process takes the lock for an instant; who wants it waits for so long."""


class StateDirectory:
    """Makes the directory and holds its lock while the context lasts.

    Where it cannot be made or written, `path` is None and `problem` says why: the service goes on in memory.
    The lock is the system's, so that it ends with the process however that ends.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path | None = None
        self.problem: str | None = None
        self._wanted = path
        self._lock: int | None = None

    def __enter__(self) -> "StateDirectory":
        try:
            self._wanted.mkdir(mode=0o750, parents=True, exist_ok=True)
            lock = os.open(self._wanted / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as error:
            self.problem = (
                f"The state directory {self._wanted} cannot be used ({error.strerror or error}): "
                "events are kept in memory only."
            )
            logger.error(self.problem)
            return self
        try:
            self._take(lock)
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
        except OSError as error:  # a full or broken disk: the log will say more
            self.problem = f"The lock of {self._wanted} cannot be written ({error.strerror or error})."
            logger.error(self.problem)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        self.path = self._wanted
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self, lock: int) -> None:
        try:
            import fcntl
        except ImportError:
            self.problem = f"This system cannot lock {self._wanted}: see to it that only one service uses it."
            logger.warning(self.problem)
            return
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until_s:
                    raise self._taken(_pid(lock)) from None
                time.sleep(0.02)
            else:
                return

    def _taken(self, pid: int | None) -> InUseError:
        who = "another process" if pid is None else f"process {pid}"
        return InUseError(
            f"The state directory {self._wanted} is in use by {who}.",
            "Stop that service first, or give this one its own with state_dir in the config.",
        )


def holder(path: Path) -> int | None:
    """The process id of the service that holds the directory now, None where nobody does."""
    try:
        import fcntl

        lock = os.open(path / LOCK_NAME, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(lock)
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(lock)


def _pid(lock: int) -> int | None:
    try:
        return int(os.pread(lock, 32, 0))
    except (OSError, ValueError):
        return None
