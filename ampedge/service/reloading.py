"""What became of a reload, asked from outside of the service that was told to."""

import time
from pathlib import Path

from ampedge.errors import UnreachableError
from ampedge.service.snapshot import ReloadState
from ampedge.service.status import read_status

_LIMIT_S = 5.0
_TURN_S = 0.05


def reloads(directory: Path) -> ReloadState | None:
    """What the service that keeps its state there says of its reloads, None where none tells."""
    try:
        told = read_status(directory).get("reload")
    except UnreachableError:
        return None
    return None if told is None else ReloadState(told["count"], told["problem"])  # an older version does not tell


def reloads_after(directory: Path, before: ReloadState) -> ReloadState | None:
    """The same once it has read its config again since `before`, None where it does not say so within seconds."""
    until_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < until_s:
        now = reloads(directory)
        if now is not None and now.count > before.count:
            return now
        time.sleep(_TURN_S)
    return None
