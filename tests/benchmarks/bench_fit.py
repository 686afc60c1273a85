"""What the whole fit costs at the default settings, beside the published `model.fit` call on the same rows.

For each seed the table is split once; both fits see the same scaled rows, one after the other, in one process.
A table may be given as the argument; without it, the generated amplifier data.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.samples import DATA, shipped
from ampedge.table import read_table
from ampedge.training.fitting.fit import Part, fit, start
from ampedge.training.fitting.scaler import fitted_scaler
from ampedge.training.metrics import scores
from ampedge.training.rows.dataset import Dataset, dataset
from ampedge.training.rows.split import split
from ampedge.training.settings import FitSettings, TableSettings

SEEDS = (42, 43, 44, 45, 46)
Predict = Callable[[np.ndarray], np.ndarray]


def ours(training: Part, validation: Part, classes: Sequence[str], seed: int) -> tuple[float, Predict]:
    """(seconds, the model) of the fit that `ampedge train` runs."""
    begun_s = time.perf_counter()
    fitted = fit(training, validation, classes=classes, settings=FitSettings(seed=seed))
    return time.perf_counter() - begun_s, fitted.probabilities


def published(training: Part, validation: Part, classes: Sequence[str], seed: int) -> tuple[float, Predict]:
    """(seconds, the model) of the published call: the same network, Adam, 50 epochs, batches of 32."""
    keras = import_keras("The benchmark")
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    layers = [dense(64, "relu"), dense(32, "relu"), dense(16, "relu"), dense(len(classes), "softmax")]
    model = keras.Sequential([keras.Input((training.inputs.shape[1],)), *layers])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    begun_s = time.perf_counter()
    model.fit(
        training.inputs,
        training.targets,
        validation_data=(validation.inputs, validation.targets),
        epochs=50,
        batch_size=32,
        verbose=0,
    )
    return time.perf_counter() - begun_s, lambda inputs: model(inputs).numpy()


def compare(data: Dataset, seed: int) -> tuple[float, float, float, float]:
    """(our seconds, the published seconds, our macro-F1, the published macro-F1) on one split."""
    parts = split(data, TableSettings(), seed)
    inputs = fitted_scaler(data, parts.training).scaled(data.values)
    training, validation = (Part(inputs[rows], data.targets[rows]) for rows in (parts.training, parts.validation))
    found: list[float] = []
    for fitting in (ours, published):
        seconds, predict = fitting(training, validation, data.classes, seed)
        said = [data.classes[place] for place in predict(inputs[parts.test]).argmax(axis=1)]
        found += [seconds, scores(data.names(parts.test), said, data.classes)["macro_f1"]]
    our_s, our_f1, published_s, published_f1 = found
    print(f"seed {seed}: {our_s:6.2f} s, macro-F1 {our_f1:.3f}   published {published_s:6.2f} s, {published_f1:.3f}")
    return our_s, published_s, our_f1, published_f1


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else shipped(DATA)
    data = dataset(read_table(path), TableSettings())
    start()
    our_s, published_s, our_f1, published_f1 = zip(*(compare(data, seed) for seed in SEEDS), strict=True)
    ratio = statistics.median(theirs / mine for mine, theirs in zip(our_s, published_s, strict=True))
    print(f"time of the whole fit, ours to published: 1/{ratio:.1f} (promised: at most 1/5)")
    gap = statistics.mean(our_f1) - statistics.mean(published_f1)
    print(
        f"mean macro-F1: {statistics.mean(our_f1):.4f}, published {statistics.mean(published_f1):.4f}, "
        f"difference {gap:+.4f} (promised: at least -0.015)"
    )


if __name__ == "__main__":
    main()
