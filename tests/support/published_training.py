"""The published training written anew: its three mistakes of order and split included, its files as it leaves them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.quiet import quiet


def read(path: Path) -> tuple[np.ndarray, list[str], list[str]]:
    """(values, labels, names of the columns) of a table whose last column is the label."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return np.array([row[:-1] for row in rows], dtype=float), [row[-1] for row in rows], header[:-1]


def published_files(
    place: Path, values: np.ndarray, labels: Sequence[str], *, names: Sequence[str] | None = None, epochs: int = 5
) -> Any:
    """`amp_model.h5` and `scaler.save` in `place`; the network itself.

    Labels are encoded alphabetically, and the scaler is fitted before the split; with `names` on a data frame.
    """
    import joblib
    import pandas as pd
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import LabelEncoder, StandardScaler

    keras = import_keras("A test")
    targets = LabelEncoder().fit_transform(labels)
    scaler = StandardScaler()
    scaled = scaler.fit_transform(values if names is None else pd.DataFrame(values, columns=list(names)))
    training, _, aims, _ = train_test_split(scaled, targets, test_size=0.3, random_state=42)
    with quiet():
        keras.utils.set_random_seed(42)
        model = keras.Sequential(
            [
                keras.Input((values.shape[1],)),
                *(keras.layers.Dense(units, "relu") for units in (64, 32, 16)),
                keras.layers.Dense(len(set(labels)), "softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(training, aims, epochs=epochs, batch_size=64, verbose=0)
        model.save(place / "amp_model.h5")
    joblib.dump(scaler, place / "scaler.save")
    return model
