"""One fresh process: how long until it answers, what it says of its times, and how much memory it then holds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ampedge.benchmark.child import FIRST
from ampedge.errors import AmpedgeError

EMPTY = (sys.executable, "-c", f"import sys; print('{FIRST}'); print('{{}}', flush=True); sys.stdin.read()")
"""A Python that does nothing."""


_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""For NumPy's matrix products: threads that wait for each other can cost ten times what they save."""


@dataclass(frozen=True, slots=True)
class Run:
    """`times` are in microseconds; `resident` bytes are known where there is a /proc, else None."""

    start_s: float
    times: dict[str, float]
    resident: int | None


def run(command: Sequence[str | Path]) -> Run:
    """Start it and wait for its answers; raises AmpedgeError with its last words where it has none."""
    began_s = time.monotonic()
    try:
        return _answered(began_s, _started(command))
    except OSError as error:
        raise AmpedgeError(f"it cannot be started: {error.strerror}.") from error


def _started(command: Sequence[str | Path]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **_ONE_THREAD},
    )


def _answered(began_s: float, process: subprocess.Popen[str]) -> Run:
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline().strip()
        start_s = time.monotonic() - began_s
        times = process.stdout.readline()
        resident = _resident(process.pid)
        process.stdin.close()
        trouble = process.stderr.read().strip()
    if said != FIRST or not times or process.returncode != 0:
        raise AmpedgeError(trouble.splitlines()[-1] if trouble else f"it ended with code {process.returncode}")
    return Run(start_s, json.loads(times), resident)


def _resident(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return None
