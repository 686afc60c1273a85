"""How well `ampedge train` learns beside a plain Keras network of the same size: mean macro-F1 over five seeds.

Both learn from the same splits: the amplifier's generated table, scikit-learn's wine table, and the tables in the
folder that AMPEDGE_TEST_DATA names.
"""

import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ampedge.samples import DATA, shipped
from ampedge.table import read_table
from ampedge.training.fitting.fit import start
from ampedge.training.rows.dataset import dataset
from ampedge.training.settings import TableSettings
from tests.benchmarks.bench_fit import SEEDS, compare
from tests.support.training import write_wine

REAL = {"hydraulic_pump_leak_8": 0.02, "occupancy": 0.02, "skab_pump_8class": 0.02, "ai4i2020_5class": 0.05}
PROMISED = 0.02
"""How much below the plain network it may be; for the real tables as stated there."""


def tables(folder: Path) -> Iterator[tuple[Path, float]]:
    """(table, how much below it may be) of each yardstick."""
    yield shipped(DATA), PROMISED
    yield write_wine(folder / "wine.csv"), PROMISED
    real = os.environ.get("AMPEDGE_TEST_DATA")
    if not real:
        print("AMPEDGE_TEST_DATA names no folder of real measurements: without them.")
        return
    for name, promised in REAL.items():
        yield Path(real) / f"{name}.csv", promised


def main() -> None:
    short = []
    start()
    with TemporaryDirectory() as folder:
        for path, promised in tables(Path(folder)):
            data = dataset(read_table(path), TableSettings())
            rows, width, classes = len(data.targets), len(data.features), len(data.classes)
            print(f"\n{path.name}: {rows} rows, {width} features, {classes} classes")
            _, _, ours, plain = zip(*(compare(data, seed) for seed in SEEDS), strict=True)
            mine, its = statistics.mean(ours), statistics.mean(plain)
            print(
                f"mean macro-F1: {mine:.4f}, plain Keras {its:.4f}, difference {mine - its:+.4f} "
                f"(promised: at least {-promised})",
                flush=True,
            )
            if mine < its - promised:
                short.append(path.stem)
    if short:
        sys.exit(f"Falls short on {', '.join(short)}.")


if __name__ == "__main__":
    main()
