"""What the envelope finds and how well probabilities are calibrated, on held-out rows, mean over five seeds."""

import os
from pathlib import Path

import numpy as np

from ampedge.model.joint import JointEnvelope
from ampedge.table import read_table
from ampedge.training.fitting.fit import start
from ampedge.training.fitting.recipe import Learned, learned
from ampedge.training.judging.answers import Answers
from ampedge.training.judging.reliability import calibration
from ampedge.training.rows.dataset import Dataset, dataset
from ampedge.training.rows.split import Rows, split
from ampedge.training.settings import FitSettings, TableSettings

ROOT = Path(__file__).parents[2]
REAL = ("ai4i2020_5class", "hydraulic_pump_leak_8", "occupancy", "skab_pump_8class")
SEEDS = (42, 1, 2, 3, 4)
FAR = 6.0


def calibration_error(probabilities: np.ndarray, data: Dataset, rows: Rows) -> float:
    """As `ampedge evaluate` has it."""
    found = calibration(Answers(data.classes, data.targets[rows], probabilities.argmax(axis=1), probabilities))
    assert found is not None
    return found.error


def flagged(made: Learned, data: Dataset, training: Rows, values: np.ndarray) -> float:
    """The share of rows that a tag's own range or the joint envelope flags."""
    rows, mean, std = data.values[training], made.scaler.mean, made.scaler.std
    outside = ((values < rows.min(axis=0) - 3 * std) | (values > rows.max(axis=0) + 3 * std)).any(axis=1)
    said = made.network.probabilities(values).argmax(axis=1)
    joint = JointEnvelope(mean.tolist(), std.tolist(), made.joint or [])
    odd = np.array([joint.distance(row, place) > 1 for row, place in zip(values.tolist(), said, strict=True)])
    return float((outside | odd).mean())


def judge(path: Path, seed: int) -> list[float]:
    """Shares flagged: held out, six deviations out, all tags shuffled, one tag shuffled; then calibration error."""
    data = dataset(read_table(path), TableSettings())
    parts = split(data, TableSettings(), seed)
    made = learned(data, parts.training, parts.validation, FitSettings(seed=seed))
    held, targets = data.values[parts.test], data.targets[parts.test]
    drawn = np.random.RandomState(seed)
    far, one = held.copy(), held.copy()
    every = np.column_stack([drawn.permutation(column) for column in held.T])
    for at, target in enumerate(targets):
        tag = drawn.randint(held.shape[1])
        ends = data.values[parts.training, tag]
        beyond = FAR * made.scaler.std[tag]
        far[at, tag] = ends.max() + beyond if drawn.uniform() < 0.5 else ends.min() - beyond
        one[at, tag] = drawn.choice(held[targets != target, tag])
    shares = [flagged(made, data, parts.training, values) for values in (held, far, every, one)]
    return [*shares, calibration_error(made.probabilities[parts.test], data, parts.test)]


def main() -> None:
    start()
    tables = [ROOT / "examples" / "data.csv"]
    if given := os.environ.get("AMPEDGE_TEST_DATA"):
        tables += [path for path in sorted(Path(given).glob("*.csv")) if path.stem in REAL]
    print(f"{'':24}held out (worst)    6 dev. out  all shuffled  one shuffled  calibration error (worst)")
    for path in tables:
        found = np.array([judge(path, seed) for seed in SEEDS])
        mean, worst = found.mean(axis=0), found.max(axis=0)
        print(
            f"{path.stem:24}{mean[0]:8.4f} ({worst[0]:.4f}) {mean[1]:12.4f} {mean[2]:13.3f} {mean[3]:13.3f} "
            f"{mean[4]:10.4f} ({worst[4]:.4f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
