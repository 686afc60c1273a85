"""Real measurements from the workstation's CSV to labels on MQTT, with options alone.

The tables are not part of the project: the folder that AMPEDGE_TEST_DATA names holds them.
"""

import csv
import json
import os
from pathlib import Path

import pytest

from ampedge.model.bundle import HELD_OUT, load_bundle
from tests.support.cli import run_cli
from tests.support.mosquitto import Mosquitto
from tests.support.serving import Serve
from tests.support.training import real_data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "registers", "options", "least"),
    [
        ("hydraulic_pump_leak_8.csv", 16, (), 0.87),
        ("occupancy.csv", 10, ("--epochs", "5"), 0.95),
    ],
)
def test_from_csv_to_labels_on_mqtt(
    tmp_path: Path, mosquitto: Mosquitto, table: str, registers: int, options: tuple[str, ...], least: float
) -> None:
    trained = run_cli("train", real_data(table), *options, cwd=tmp_path, timeout_s=150)
    assert trained.returncode == 0, trained.stderr
    scores = json.loads((tmp_path / "model" / "metrics.json").read_text())["test"]
    assert scores["macro_f1"] >= least

    bundle = load_bundle(tmp_path / "model")
    assert bundle.datamap.tags[-1].end == registers
    rows = tmp_path / "rows.csv"
    rows.write_text("".join((bundle.path / HELD_OUT).read_text().splitlines(keepends=True)[:201]))
    settle = ("--settle-ms", "0")
    with Serve(tmp_path, *settle, broker=mosquitto.port, model=bundle.path) as serve:
        where = ("--port", serve.port, "--broker", f"127.0.0.1:{mosquitto.port}", "--host", "127.0.0.1")
        played = run_cli(
            "simulate", rows, "--check", "--json", "--interval", "0", "--min-score", "0.85", *where, cwd=tmp_path
        )
    assert played.returncode == 0, played.stderr
    answers = json.loads(played.stdout)["rows"]
    assert [answer["class"] for answer in answers] == keras_classes(bundle.path, rows)


def keras_classes(bundle: Path, rows: Path) -> list[str]:
    """What the Keras model that training left behind says of the rows, its classes in training order."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    manifest = load_bundle(bundle).manifest
    with rows.open(newline="") as file:
        table = list(csv.DictReader(file))
    values = np.array([[float(row[feature.name]) for feature in manifest.features] for row in table])
    wire = values.astype(np.float32).astype(np.float64)
    scaled = (wire - [feature.mean for feature in manifest.features]) / [feature.std for feature in manifest.features]
    model = keras.models.load_model(bundle / "network.keras")
    label = manifest.training.label
    in_training_order = sorted({row[label] for row in table} | set(manifest.classes))
    return [in_training_order[int(best)] for best in model.predict(scaled, verbose=0).argmax(axis=1)]
