"""How often the moved tag of a one-tag fault is the first one named, and what naming it costs a label.

A fault is a normal row of which one tag was moved until the class changed, see `tests/support/one_tag_faults.py`.
Beside it, on the same faults, integrated gradients (M. Sundararajan et al., 2017) from the middle of the normal
rows to the reading, of which the tag with the largest part is named.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ampedge.model.bundle import Bundle, load_bundle
from ampedge.model.causes import CauseFinder, cause_finder
from ampedge.samples import BUNDLE, DATA, shipped
from ampedge.table import read_table
from ampedge.training.fitting.fit import start
from ampedge.training.rows.dataset import dataset
from ampedge.training.settings import TableSettings
from tests.support.one_tag_faults import OneTagFault, one_tag_faults, rows_of
from tests.support.training import trained, write_wine

REAL = ("ai4i2020_5class", "hydraulic_pump_leak_8", "occupancy", "skab_pump_8class")
STEPS = (0.1, 0.25, 0.5)
ROWS = 100
TIMED = 2000
POINTS = 32


def finder_of(bundle: Bundle) -> CauseFinder:
    """That of a bundle, with its own units."""
    found = cause_finder(bundle.manifest, bundle.network, bundle.joint, [f.unit for f in bundle.manifest.features])
    assert found is not None
    return found


def by_gradients(bundle: Bundle, fault: OneTagFault) -> str:
    """The tag that integrated gradients name: midpoints of a straight path, backwards through the ReLU layers."""
    network, manifest = bundle.network, bundle.manifest
    normal = np.array([[feature.normal.centre for feature in manifest.features if feature.normal is not None]])
    begin, end = network.scaled(normal), network.scaled(np.array([fault.values]))
    flow = begin + (np.arange(POINTS)[:, np.newaxis] + 0.5) / POINTS * (end - begin)
    *hidden, (kernel, _) = network.layers
    active = []
    for inner, offset in hidden:
        flow = flow @ inner + offset
        active.append(flow > 0)
        flow = np.maximum(flow, 0)
    slope = np.tile(kernel[:, fault.said] - kernel[:, bundle.classes.index(manifest.normal_label)], (POINTS, 1))
    for (inner, _), on in zip(reversed(hidden), reversed(active), strict=True):
        slope = (slope * on) @ inner.T
    return manifest.feature_names[int(((end - begin)[0] * slope.mean(axis=0)).argmax())]


def median_us(run: Callable[[OneTagFault], object], faults: list[OneTagFault]) -> float:
    """The median time of a call, in microseconds."""
    times = []
    for at in range(TIMED):
        fault = faults[at % len(faults)]
        begun = time.perf_counter_ns()
        run(fault)
        times.append((time.perf_counter_ns() - begun) / 1e3)
    return statistics.median(times)


def bundles(folder: Path) -> Iterator[tuple[str, Path, Bundle]]:
    """(name, table, bundle): the one that ships, and those of other tables, trained here."""
    yield "amplifier (shipped)", shipped(DATA), load_bundle(shipped(BUNDLE))
    tables = [write_wine(folder / "wine.csv")]
    if given := os.environ.get("AMPEDGE_TEST_DATA"):
        tables += [Path(given) / f"{name}.csv" for name in REAL]
    for path in tables:
        yield path.stem, path, trained(path, folder / path.stem).bundle


def main() -> None:
    start()
    print(f"{'first named is the moved tag, a step of':40}", *(f"{f'{step:g} dev.':>10}" for step in STEPS), end="")
    print(f"{'gradients':>11}{'us a label':>12}{'forward passes':>16}")
    hits = np.zeros((len(STEPS), 2))
    with tempfile.TemporaryDirectory() as folder:
        for name, path, bundle in bundles(Path(folder)):
            data = dataset(read_table(path), TableSettings())
            labels = [data.classes[target] for target in data.targets]
            rows = rows_of(labels, data.values, bundle.manifest.normal_label, ROWS)
            finder = finder_of(bundle)
            shares = []
            for at, step in enumerate(STEPS):
                faults = one_tag_faults(bundle, rows, step=step)
                named = [finder.causes(fault.values, fault.said)[0].tag == fault.tag for fault in faults]
                shares.append(float(np.mean(named)))
                hits[at] += sum(named), len(named)
            gradients = np.mean([by_gradients(bundle, fault) == fault.tag for fault in faults])
            cost = median_us(lambda fault, finder=finder: finder.causes(fault.values, fault.said), faults)
            forward = median_us(lambda fault, bundle=bundle: bundle.probabilities(np.array([fault.values])), faults)
            print(f"{f'{name}, {len(faults)} faults':40}", *(f"{share:10.3f}" for share in shares), end="")
            print(f"{gradients:11.3f}{cost:12.0f}{cost / forward:16.1f}", flush=True)
    print(f"{'all faults':40}", *(f"{share:10.3f}" for share in hits[:, 0] / hits[:, 1]))


if __name__ == "__main__":
    main()
