"""The disk under the state directory: whether the event log can be written, and for how long."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ampedge.config import Config
from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.errors import UsageError
from ampedge.store.schema import FILE_NAME, refuse_newer

_LEAST_FREE = 20_000_000
_NEARLY_FULL = 0.9


def look(config: Config, *, service_runs: bool) -> Iterator[Finding]:
    """Where the log is, how large it is and may become; a service that runs shows itself that it can write."""
    directory = config.state_dir
    place = _existing(directory)
    try:
        size = sum(file.stat().st_size for file in directory.glob(f"{FILE_NAME}*"))
        free = shutil.disk_usage(place).free
        is_read_only = hasattr(os, "statvfs") and os.statvfs(place).f_flag & os.ST_RDONLY
    except OSError as error:
        yield warning("disk", f"{directory} cannot be looked into: {error.strerror}.", "Ask again with sudo.")
        return
    if not service_runs:
        try:
            refuse_newer(directory / FILE_NAME)
        except UsageError as error:
            yield problem("disk", error)
            return
        except (OSError, sqlite3.Error):
            pass  # what may not be read is said below; what is damaged `serve` mends
    limit = config.settings.store.max_mb * 1e6
    in_memory = "so events would be kept in memory only."
    if is_read_only:
        yield problem(
            "disk", UsageError(f"{place} is on a file system that is read-only, {in_memory}", "Mount it for writing.")
        )
    elif not service_runs and not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        yield problem(
            "disk",
            UsageError(
                f"This user cannot write into {place}, {in_memory}",
                "Name another state_dir in the config, or ask as the service's user.",
            ),
        )
    elif free < _LEAST_FREE:
        yield problem("disk", UsageError(f"Only {_mb(free)} are free at {place}.", "Make room there."))
    elif free < limit - size:
        yield warning(
            "disk",
            f"The event log may grow to {_mb(limit)} and has {_mb(size)}, but only {_mb(free)} are free at {place}.",
            "Make room there, or lower max_mb in [store].",
        )
    elif size > _NEARLY_FULL * limit:
        yield warning(
            "disk",
            f"The event log has {_mb(size)} of the {_mb(limit)} that it may have: then the oldest events go.",
            "Raise max_mb in [store], or see why the broker takes nothing.",
        )
    else:
        yield ok("disk", f"{directory}: the event log has {_mb(size)} of {_mb(limit)}, {_mb(free)} are free.")


def _existing(directory: Path) -> Path:
    """The directory, or what there is of its path."""
    absolute = directory.absolute()
    return next(place for place in (absolute, *absolute.parents) if os.path.lexists(place))


def _mb(size: float) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e6 or size == 0 else f"{size / 1e3:.0f} kB"
