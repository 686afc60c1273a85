"""The process that is measured: loads one model, answers one row, then times itself; it imports no more than it needs.

Arguments: what loads it, its place, a file of rows of float64, their columns, and a file for the probabilities.
It says `first` as soon as it has an answer, then its times as JSON, and waits until its stdin ends.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median

import numpy as np

FIRST = "first"
_BATCH = 1000
_SECONDS = 0.2
_MOST_CALLS = 20_000


def main(loader: str, place: str, rows: str, columns: str, out: str) -> None:
    """Do it; see above."""
    run = _loaded(loader, Path(place))
    values = np.fromfile(rows).reshape(-1, int(columns))
    run(values[:1])
    print(FIRST, flush=True)
    np.asarray(run(values), dtype=np.float64).tofile(out)
    batch = np.resize(values, (_BATCH, values.shape[1]))
    times = {"one_us": _time_us(lambda: run(values[:1])), "batch_us": _time_us(lambda: run(batch)) / _BATCH}
    print(json.dumps(times), flush=True)
    sys.stdin.read()


def _loaded(loader: str, place: Path) -> Callable[[np.ndarray], np.ndarray]:
    """`bundle:NAME` is a bundle run by that runtime, anything else the module of an export, which loads its own."""
    kind, _, runtime = loader.partition(":")
    run: Callable[[np.ndarray], np.ndarray]
    if kind == "bundle":
        from ampedge.model.bundle import load_bundle

        run = load_bundle(place, runtime=runtime).probabilities
    else:
        run = import_module(f"ampedge.training.export.{kind}").load(place)
    return run


def _time_us(call: Callable[[], object]) -> float:
    """The median time of a call, of as many as fit into a moment."""
    call()
    times: list[float] = []
    until_s = time.perf_counter() + _SECONDS
    while len(times) < _MOST_CALLS and (now_s := time.perf_counter()) < until_s:
        call()
        times.append(time.perf_counter() - now_s)
    return median(times) * 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
