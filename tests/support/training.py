"""Training as the tests call it: the public function, with a watcher that keeps what it is told."""

import csv
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_wine

from ampedge.config import Config, load_config
from ampedge.training.fitting.fit import Epoch
from ampedge.training.settings import FitSettings, TableSettings
from ampedge.training.train import Trained, train


@dataclass
class Recorder:
    """A watcher that keeps everything."""

    bytes: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    fits: list[tuple[FitSettings, int, int]] = field(default_factory=list)

    def read(self, done: int, size: int) -> None:
        self.bytes.append((done, size))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def trying(self, settings: FitSettings, done: int, of: int) -> None:
        self.fits.append((settings, done, of))

    def epoch(self, epoch: Epoch, of: int) -> None:
        self.epochs.append(epoch)


def trained(
    path: Path, out: Path, *, config: Config | None = None, watcher: Recorder | None = None, **settings: Any
) -> Trained:
    """Train with these settings, whichever of the two settings classes they belong to, and no file's config."""
    name, tried = settings.pop("name", None), settings.pop("tried", ())
    of_table = {f.name: settings.pop(f.name) for f in fields(TableSettings) if f.name in settings}
    return train(
        path,
        out=out,
        config=config or load_config(environment={}),
        table=TableSettings(**of_table),
        fitting=FitSettings(**settings),
        watcher=watcher or Recorder(),
        name=name,
        tried=tried,
    )


def write_wine(path: Path) -> Path:
    """scikit-learn's wine table as CSV: 178 rows, 13 features, 3 classes, label `status`."""
    wine = load_wine()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*(name.replace("/", "_") for name in wine.feature_names), "status"])
        for values, target in zip(wine.data.tolist(), wine.target, strict=True):
            writer.writerow([*values, wine.target_names[target]])
    return path


def real_data(name: str) -> Path:
    """A file of the folder of real measurements, which the project does not carry; skips where it is not given."""
    folder = os.environ.get("AMPEDGE_TEST_DATA")
    if not folder:
        pytest.skip("AMPEDGE_TEST_DATA names no folder of real measurements")
    return Path(folder) / name
