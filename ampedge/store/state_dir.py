"""The state directory: one service at a time, also where it is made, mounted or taken away while the service runs."""

import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ampedge.errors import InUseError
from ampedge.log import logger
from ampedge.store.trouble import Unwritable

LOCK_NAME = "lock"
SOCKET_NAME = "status.sock"

_PATIENCE_S = 0.3
"""`holder` of another process takes the lock for an instant; who wants it waits for so long."""


class StateDirectory:
    """Makes the directory and holds its lock while the context lasts.

    Where it cannot be made or written the service goes on in memory; the event log says so, and tries `hold` again.
    The lock is the system's, so that it ends with the process however that ends.
    """

    def __init__(self, path: Path) -> None:
        self.wanted = path
        self.problem: str | None = None
        self._lock: int | None = None

    @property
    def path(self) -> Path | None:
        """The directory, None while it is not ours."""
        lock = self._lock
        return None if lock is None or not self._is_there(lock) else self.wanted

    def hold(self) -> None:
        """Take the directory unless it is ours, as when it was away or was made anew; raises Unwritable."""
        try:
            self._hold()
        except OSError as error:
            raise Unwritable(f"its directory cannot be used: {error.strerror or error}") from error
        except InUseError as error:
            raise Unwritable(error.problem.rstrip(".")) from error

    def __enter__(self) -> "StateDirectory":
        with suppress(OSError):
            self._hold()
        return self

    def _hold(self) -> None:
        if self.path is not None:
            return
        self._release()
        self.wanted.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(self.wanted / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o640)
        self.problem = None
        try:
            self._take(lock)
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
        except OSError as error:  # a full or broken disk: the log will say more
            self.problem = f"The lock of {self.wanted} cannot be written ({error.strerror or error})."
            logger.error(self.problem)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _is_there(self, lock: int) -> bool:
        """Whether this lock is the file that others find, and not one that was deleted or lies under a mount."""
        try:
            return os.path.samestat(os.fstat(lock), (self.wanted / LOCK_NAME).stat())
        except OSError:
            return False

    def _take(self, lock: int) -> None:
        try:
            import fcntl
        except ImportError:
            self.problem = f"This system cannot lock {self.wanted}: see to it that only one service uses it."
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
            f"The state directory {self.wanted} is in use by {who}.",
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
