"""The fit, what comes out of it, and the command: weights, metrics, files, screen."""

import dataclasses
import hashlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.cli.training_screen import Screen, show
from ampedge.config import Config, load_config
from ampedge.errors import ConfigError, InUseError, UsageError
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.model.verdict import verdict
from ampedge.quiet import quiet
from ampedge.table import number, read_table
from ampedge.training import train as training
from ampedge.training.fitting.baselines import baselines
from ampedge.training.fitting.fit import Epoch, Fitted, Part, fit
from ampedge.training.fitting.kept import LastEpochs
from ampedge.training.fitting.weighting import class_weights
from ampedge.training.judging.evaluation import evaluate
from ampedge.training.rows.dataset import Dataset, dataset
from ampedge.training.rows.labelled import held_out_rows
from ampedge.training.rows.split import split
from ampedge.training.settings import FitSettings, TableSettings
from tests.support.cli import command, environment, run_cli
from tests.support.training import Recorder, real_data, trained

FILES = ["heldout.csv", "manifest.json", "manifest.sha256", "metrics.json", "network.keras", "representative.csv",
         "training_history.png", "weights.bin"]  # fmt: skip


CLASSES = ("a", "b", "c")


def part(rows: int = 70, seed: int = 0) -> Part:
    """Rows of three features in three classes that can be learned."""
    drawn = np.random.RandomState(seed)
    inputs = drawn.normal(size=(rows, 3)).astype(np.float32)
    return Part(inputs, (inputs @ np.eye(3)).argmax(axis=1).astype(np.int32))


def fitted(settings: FitSettings, held: Part | None = None) -> Fitted:
    return fit(part(), held or part(30, seed=1), classes=CLASSES, settings=settings)


def evaluated(model: object, of: Part) -> tuple[float, float]:
    """Keras' own (loss, accuracy)."""
    with quiet():
        loss, accuracy = model.evaluate(of.inputs, of.targets, verbose=0)
    return loss, accuracy


# The fit


def test_the_fit_does_the_arithmetic_of_model_fit() -> None:
    settings = FitSettings(layers=(8, 4), epochs=6, batch_size=70, learning_rate=0.01)
    ours = fitted(settings)
    keras = import_keras("The test")
    start = fitted(dataclasses.replace(settings, epochs=1, learning_rate=1e-30)).model
    theirs = keras.models.clone_model(start)
    for variable, value in zip(theirs.trainable_variables, start.trainable_variables, strict=True):
        variable.assign(value)
    theirs.compile(keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    whole = part()
    with quiet():
        theirs.fit(whole.inputs, whole.targets, batch_size=70, epochs=6, verbose=0)
    for (kernel, bias), layer in zip(ours.weights(), theirs.layers, strict=True):
        np.testing.assert_allclose(kernel, layer.kernel.numpy(), atol=1e-5)
        np.testing.assert_allclose(bias, layer.bias.numpy(), atol=1e-5)


def test_an_epoch_sees_every_row_once_and_its_figures_are_means() -> None:
    still = fitted(FitSettings(epochs=1, batch_size=32, learning_rate=1e-30))  # 70 rows: batches of 32, 32 and 6
    [epoch] = still.history
    assert (epoch.loss, epoch.accuracy) == pytest.approx(evaluated(still.model, part()), rel=1e-5)
    held = evaluated(still.model, part(30, seed=1))
    assert (epoch.validation_loss, epoch.validation_accuracy) == pytest.approx(held, rel=1e-5)


def test_balanced_weights_make_classes_count_alike() -> None:
    targets = np.array([0] * 6 + [1] * 3 + [2], dtype=np.int32)
    assert class_weights(targets, CLASSES, "none").tolist() == [1, 1, 1]
    assert class_weights(targets, CLASSES, "balanced").tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    uneven = Part(part().inputs, (part().inputs[:, 0] > 1.5).astype(np.int32))
    settings = FitSettings(epochs=1, learning_rate=1e-30, class_weight="balanced")
    still = fit(uneven, uneven, classes=CLASSES[:2], settings=settings)
    said = still.probabilities(uneven.inputs)[np.arange(70), uneven.targets]
    weights = class_weights(uneven.targets, CLASSES[:2], "balanced")[uneven.targets]
    assert still.history[0].loss == pytest.approx(float((-np.log(said) * weights).mean()), rel=1e-4)


def test_patience_stops_and_keeps_the_best_weights() -> None:
    held = Part(part(30, seed=1).inputs, np.roll(part(30, seed=1).targets, 1))  # cannot be learned: it soon gets worse
    stopped = fitted(FitSettings(epochs=60, patience=3, learning_rate=0.01), held)
    losses = [epoch.validation_loss for epoch in stopped.history]
    assert stopped.kept_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == stopped.kept_epoch + 3 < 60
    assert evaluated(stopped.model, held)[0] == pytest.approx(min(losses), rel=1e-5)
    assert len(fitted(FitSettings(epochs=20, learning_rate=0.01), held).history) == 20


def test_the_last_fifth_of_the_epochs_is_averaged() -> None:
    kept = LastEpochs(11)
    for epoch in range(1, 12):
        assert not kept.look(epoch, 0.0, [np.array([epoch, -epoch], np.float32)])
    assert (kept.epoch, kept.averaged) == (11, 2)
    assert kept.weights()[0].tolist() == [10.5, -10.5]
    last = fitted(FitSettings(layers=(4,), epochs=9))
    assert (last.kept_epoch, last.averaged_epochs) == (9, 1)
    assert evaluated(last.model, part(30, seed=1))[0] == pytest.approx(last.history[-1].validation_loss, rel=1e-5)


def test_each_setting_changes_the_weights_and_the_seed_alone_repeats_them() -> None:
    plain = FitSettings(layers=(4,), epochs=2)
    changes: tuple[dict[str, object], ...] = (
        {},
        {"seed": 1},
        {"layers": (5,)},
        {"epochs": 3},
        {"batch_size": 16},
        {"learning_rate": 0.01},
        {"l2": 0.1},
        {"class_weight": {"b": 3.0}},
    )
    found = [fitted(dataclasses.replace(plain, **change)).weights()[-1][0].tobytes() for change in ({}, *changes)]
    assert found[0] == found[1]
    assert len(set(found)) == len(changes)


def test_a_training_that_diverges_is_an_error_with_a_remedy() -> None:
    wild = Part(part().inputs * np.float32(1e38), part().targets)
    with np.errstate(over="ignore"), pytest.raises(UsageError, match="left the finite numbers in epoch 1") as caught:
        fit(wild, wild, classes=CLASSES, settings=FitSettings(epochs=2))
    assert "smaller --learning-rate than 0.001" in caught.value.remedy


# The bundle


@pytest.fixture(scope="module")
def bundle(wine_bundle: Path) -> Bundle:
    return load_bundle(wine_bundle)


@pytest.fixture(scope="module")
def wine(wine_csv: Path) -> Dataset:
    return dataset(read_table(wine_csv), TableSettings())


def held_out(bundle: Bundle, classes: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """(values, labels) of heldout.csv."""
    table = read_table(bundle.path / "heldout.csv")
    assert table.columns == (*bundle.manifest.feature_names, "status")
    assert {row.cells[-1] for row in table.rows()} <= set(classes)
    values = [[number(cell) for cell in row.cells[:-1]] for row in table.rows()]
    return np.array(values), [row.cells[-1] for row in table.rows()]


def test_the_directory_holds_its_files_and_nothing_else(bundle: Bundle) -> None:
    assert sorted(file.name for file in bundle.path.iterdir()) == FILES
    assert (bundle.path / "training_history.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_the_manifest_says_where_the_model_comes_from(bundle: Bundle, wine_csv: Path) -> None:
    manifest = bundle.manifest
    assert manifest.name == "wine"
    weights = hashlib.sha256((bundle.path / "weights.bin").read_bytes()).hexdigest()
    assert re.fullmatch(r"\d{4}\.\d\d\.\d\d-" + weights[:8], manifest.version)
    assert manifest.training.data == "wine.csv"
    assert manifest.training.data_sha256 == hashlib.sha256(wine_csv.read_bytes()).hexdigest()
    assert manifest.training.rows == {"training": 124, "validation": 27, "test": 27}
    assert manifest.training.settings == {
        **dataclasses.asdict(FitSettings()),
        "layers": [64, 32, 16],
        "features": None,
        "drop": [],
        "group": None,
        "time_order": False,
        "sep": None,
        "decimal": None,
        "drop_bad_rows": False,
        "split": "stratified",
        "epochs_run": 50,
        "kept_epoch": 50,
        "averaged_epochs": 10,
    }
    assert {"tensorflow", "keras", "numpy", "scikit-learn", "python", "ampedge"} == set(manifest.training.libraries)
    assert [layer.units for layer in manifest.layers] == [64, 32, 16, 3]
    assert manifest.normal_label == "class_1"  # the commonest
    assert [(tag.name, tag.address, tag.type) for tag in bundle.datamap.tags] == [
        (name, 2 * place, "float32") for place, name in enumerate(manifest.feature_names)
    ]


def test_the_features_are_described_by_the_training_part_alone(bundle: Bundle, wine: Dataset) -> None:
    rows = wine.values[split(wine, TableSettings(), 42).training]
    for place, feature in enumerate(bundle.manifest.features):
        column = rows[:, place]
        assert (feature.minimum, feature.maximum) == (column.min(), column.max())
        assert (feature.mean, feature.std) == pytest.approx((column.mean(), column.std()), rel=1e-12)
        assert feature.mean != wine.values[:, place].mean()
        assert feature.quantiles["0.5"] == pytest.approx(np.median(column))
        assert list(feature.quantiles) == ["0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"]


def test_the_held_out_rows_are_the_test_part_to_the_last_digit(bundle: Bundle, wine: Dataset) -> None:
    values, labels = held_out(bundle, wine.classes)
    rows = split(wine, TableSettings(), 42).test
    assert (values == wine.values[rows]).all()
    assert labels == wine.names(rows)


def test_the_group_of_each_held_out_row_stays_with_it(tmp_path: Path) -> None:
    """A value of x says which of six runs it is of, 0 to 5, and half of each run is of either class."""
    rows = [f'{run}.{n},"run\r{run}",{"ab"[n % 2]}' for run in range(6) for n in range(10)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["x,rig,status", *rows]) + "\n", "utf-8")
    made = trained(path, tmp_path / "m", group="rig", **QUICK).bundle
    table = read_table(made.path / "heldout.csv")
    assert table.columns == ("x", "rig", "status")
    assert all(row.cells[1] == f"run\r{row.cells[0][0]}" for row in table.rows())
    kept = held_out_rows(made)
    assert kept is not None
    assert {row.group for row in kept.rows} == {row.cells[1] for row in table.rows()}
    found = evaluate(made, kept, scored="").groups
    assert found is not None
    assert found.unseen is True
    assert found.sentence().startswith("Training saw none of these groups.")


def test_keras_and_the_edge_runtime_agree_on_every_held_out_row(bundle: Bundle, wine: Dataset) -> None:
    keras = import_keras("The test")
    with quiet():
        model = keras.models.load_model(bundle.path / "network.keras")
    values, _ = held_out(bundle, wine.classes)
    scaled = (values - [f.mean for f in bundle.manifest.features]) / [f.std for f in bundle.manifest.features]
    keras_says = model(scaled.astype(np.float32)).numpy()
    edge_says = bundle.probabilities(values)
    np.testing.assert_allclose(edge_says, keras_says, atol=1e-5)
    assert (edge_says.argmax(axis=1) == keras_says.argmax(axis=1)).all()
    with quiet():  # it was saved with its optimizer, so that training can go on
        model.fit(scaled, np.zeros(len(scaled)), epochs=1, verbose=0)


def test_there_is_a_golden_row_of_each_class_that_the_model_gets_right(bundle: Bundle, wine: Dataset) -> None:
    values, labels = held_out(bundle, wine.classes)
    assert [row.class_name for row in bundle.manifest.golden] == list(wine.classes)
    for row in bundle.manifest.golden:
        [place] = np.flatnonzero((values == row.values).all(axis=1))
        assert labels[place] == row.class_name


def test_metrics_json_holds_the_figures_of_the_runtime(bundle: Bundle, wine: Dataset) -> None:
    metrics = json.loads((bundle.path / "metrics.json").read_text("utf-8"))
    assert metrics == bundle.manifest.metrics
    assert set(metrics) == {"test", "validation", "baselines", "costs"}
    assert set(metrics["baselines"]) == {"majority_class", "logistic_regression", "random_forest"}
    values, labels = held_out(bundle, wine.classes)
    said = [wine.classes[place] for place in bundle.probabilities(values).argmax(axis=1)]
    test = metrics["test"]
    assert test["accuracy"] == pytest.approx(np.mean([a == b for a, b in zip(said, labels, strict=True)]))
    assert test["macro_f1"] == pytest.approx(f1_score(labels, said, average="macro"))
    assert test["accuracy"] > 0.9
    assert {name: figures["support"] for name, figures in test["per_class"].items()} == {
        name: labels.count(name) for name in wine.classes
    }
    assert metrics["baselines"]["majority_class"]["per_class"]["class_1"]["recall"] == 1
    assert metrics["baselines"]["majority_class"]["accuracy"] == labels.count("class_1") / 27
    for learned in ("logistic_regression", "random_forest"):
        assert metrics["baselines"][learned]["accuracy"] > 0.9
        assert metrics["baselines"][learned]["per_class"].keys() == set(wine.classes)


def test_the_baselines_learn_from_the_training_part() -> None:
    inputs = np.array([[-2], [-1], [1], [2], [3]], dtype=np.float32)
    part = Part(inputs, np.array([0, 0, 1, 1, 1], dtype=np.int32))
    found, careful = (
        baselines(part, inputs[:2], class_weights=np.ones(2, np.float32), thresholds=thresholds, seed=1)
        for thresholds in ({}, {1: 0.001})
    )
    assert found["majority_class"].tolist() == [1, 1]
    assert found["logistic_regression"].tolist() == [0, 0]
    assert found["random_forest"].tolist() == [0, 0]
    assert careful["logistic_regression"].tolist() == careful["random_forest"].tolist() == [1, 1]


def test_of_a_long_table_the_baselines_are_shown_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.RandomState(1)
    inputs = drawn.normal(size=(300, 2)).astype(np.float32)
    whole = Part(inputs, (inputs[:, 0] + drawn.normal(size=300) > 0).astype(np.int32))
    rows = np.random.RandomState(5).choice(300, 40, replace=False)
    some = Part(whole.inputs[rows], whole.targets[rows])

    def found(part: Part) -> list[list[int]]:
        made = baselines(part, inputs, class_weights=np.ones(2, np.float32), thresholds={}, seed=5)
        return [made[name].tolist() for name in ("logistic_regression", "random_forest")]

    of_all = found(whole)
    monkeypatch.setattr("ampedge.training.fitting.baselines._MOST_ROWS", 40)
    assert found(whole) == found(some) != of_all


def test_the_forest_is_the_same_for_a_seed_and_minds_rare_classes_where_told() -> None:
    drawn = np.random.RandomState(1)
    inputs = drawn.normal(size=(300, 2)).astype(np.float32)
    targets = (inputs[:, 0] + drawn.normal(size=300) > 1.6).astype(np.int32)

    def rare(weighting: str, seed: int) -> list[int]:
        weights = class_weights(targets, CLASSES[:2], weighting)
        part = Part(inputs, targets)
        return baselines(part, grid, class_weights=weights, thresholds={}, seed=seed)["random_forest"].tolist()

    grid = drawn.normal(size=(200, 2)).astype(np.float32)
    assert rare("none", 1) == rare("none", 1) != rare("none", 2)
    assert rare("balanced", 1) != rare("none", 1)
    unweighted = RandomForestClassifier(100, max_samples=300, random_state=1).fit(inputs, targets)
    assert rare("none", 1) == unweighted.predict(grid).tolist()


QUICK = {"layers": (4,), "epochs": 1}


def config(folder: Path, text: str) -> Config:
    path = folder / "ampedge.toml"
    path.write_text(text, "utf-8")
    return load_config(path, environment={})


def test_the_config_gives_data_map_and_normal_label(wine_csv: Path, tmp_path: Path) -> None:
    tags = '[[tags]]\nname = "ash"\naddress = 4\ntype = "int16"\nscale = 0.01\nunit = "%"\nvalid = [0, 10]\n'
    tags += '[[tags]]\nname = "alcohol"\naddress = 0\nword_order = "CDAB"\nmax_step = 0.5\nexpect_change_s = 60\n'
    made = trained(
        wine_csv, tmp_path / "m", config=config(tmp_path, f'[decision]\nnormal_label = "Class_2"\n{tags}'), **QUICK
    )
    ash, alcohol = made.bundle.datamap.tags
    assert (ash.name, ash.address, ash.type, ash.scale, ash.unit, ash.valid) == ("ash", 4, "int16", 0.01, "%", (0, 10))
    assert (alcohol.address, alcohol.word_order, alcohol.max_step, alcohol.expect_change_s) == (0, "CDAB", 0.5, 60)
    assert (ash.max_step, ash.expect_change_s) == (None, None)
    assert [(f.name, f.unit) for f in made.bundle.manifest.features] == [("ash", "%"), ("alcohol", "")]
    assert made.bundle.manifest.normal_label == "class_2"
    with pytest.raises(ConfigError, match=r"'class_3' is none of the classes .*; did you mean 'class_\d'\?"):
        trained(wine_csv, tmp_path / "n", config=config(tmp_path, '[decision]\nnormal_label = "class_3"\n'), **QUICK)


def test_a_class_that_the_model_never_says_is_no_obstacle(wine_csv: Path, tmp_path: Path) -> None:
    made = trained(wine_csv, tmp_path / "m", features=("ash",), epochs=1, learning_rate=1e-30)
    missed = [name for name, f in made.metrics["test"]["per_class"].items() if f["recall"] == 0]
    assert missed
    assert len(made.bundle.manifest.golden) == 3
    assert any(repr(missed[0]) in sentence and "never rely on it" in sentence for sentence in made.verdict)


def test_a_far_offset_and_a_tiny_scale_do_no_harm(tmp_path: Path) -> None:
    drawn = np.random.RandomState(3)
    status = np.array(["low", "high"])[drawn.randint(0, 2, 300)]
    pressure = 1e6 + drawn.normal(size=300) + 4 * (status == "high")
    strain = 1e-9 * drawn.normal(size=300)
    lines = [f"{a!r},{b!r},{c}" for a, b, c in zip(pressure.tolist(), strain.tolist(), status, strict=True)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["pressure_pa,strain,status", *lines]) + "\n", "utf-8")
    watcher = Recorder()
    assert trained(path, tmp_path / "m", epochs=20, watcher=watcher).metrics["test"]["accuracy"] > 0.9
    assert watcher.notes == []


def test_where_the_bundle_may_go_and_where_it_may_come_from(wine_csv: Path, wine_bundle: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "manifest.json").write_text("{}", "utf-8")
    for place in (mine, mine / "manifest.json"):
        with pytest.raises(InUseError, match="exists and is not a model; nothing was written"):
            trained(wine_csv, place)
    with pytest.raises(UsageError, match="is no directory to write to"):
        trained(wine_csv, mine / "manifest.json" / "model")
    assert [file.name for file in mine.iterdir()] == ["manifest.json"]
    out = tmp_path / "new" / "model"
    no_text = tmp_path / os.fsdecode(b"wine\xff.csv")
    no_text.write_bytes(wine_csv.read_bytes())
    first = trained(no_text, out, name="first", **QUICK)
    assert first.bundle.manifest.training.data == "wine\\udcff.csv"
    assert trained(wine_csv, out, name="second", **QUICK).bundle.manifest.name == "second"
    assert first.bundle.manifest.name == "first"
    assert [file.name for file in out.parent.iterdir()] == ["model"]
    assert wine_bundle.exists()


def test_a_failure_while_writing_leaves_nothing(
    wine_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "files", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        trained(wine_csv, tmp_path / "m", **QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["tensorflow", "sklearn", "matplotlib"])
def test_a_missing_extra_is_named(
    wine_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match="Training needs a library") as caught:
        trained(wine_csv, tmp_path / "m")
    assert 'pip install "ampedge[train]"' in caught.value.remedy


def test_a_bad_name_is_refused(wine_csv: Path, tmp_path: Path) -> None:
    for name in ("", " wine", "w" * 65, "a\nb"):
        with pytest.raises(UsageError, match="cannot be the name of a model"):
            trained(wine_csv, tmp_path / "m", name=name)


def scored(macro_f1: float, recalls: dict[str, float], support: int = 500) -> dict[str, object]:
    per_class = {name: {"recall": recall, "support": support} for name, recall in recalls.items()}
    return {"accuracy": 0.9, "macro_f1": macro_f1, "per_class": per_class}


@pytest.mark.parametrize(
    ("network", "regression", "sentence"),
    [
        (0.9, 0.8, "The network earns its place: macro-F1 0.900 against 0.800 of the logistic regression."),
        (0.9, 0.89, "The network is hardly better than simpler means on these rows: macro-F1 0.900 against 0.890"),
        (0.9, 0.9, "The network is no better than simpler means on these rows: macro-F1 0.900 against 0.900"),
        (0.8, 0.9, "The network does not earn its place: macro-F1 0.800 against 0.900 of the logistic regression."),
        (0.5, 0.1, "against 0.200 of always answering the commonest class"),
    ],
)
def test_the_verdict_is_plain(network: float, regression: float, sentence: str) -> None:
    simple = {"logistic_regression": scored(regression, {}), "majority_class": {"accuracy": 0.5, "macro_f1": 0.2}}
    [said] = verdict(scored(network, {"a": 0.5}), simple)
    assert sentence in said
    assert ("better than" in verdict(scored(network, {"a": 0.5}, 10), simple)[0]) == (abs(network - regression) <= 0.2)
    assert "no row of 'b'" in verdict(scored(network, {"a": 0.5, "b": 0.0}), simple)[0]


@pytest.mark.parametrize(("forest", "is_better"), [(0.93, True), (0.91, False), (0.5, False)])
def test_the_verdict_says_where_a_random_forest_is_better(forest: float, is_better: bool) -> None:
    simple = {name: scored(0.5, {}) for name in ("logistic_regression", "majority_class")}
    _, *more = verdict(scored(0.9, {"a": 0.9}), {**simple, "random_forest": scored(forest, {})})
    assert [sentence.partition(" There")[0] for sentence in more] == (
        [f"A random forest is better on the same rows: macro-F1 {forest:.3f} against 0.900."] if is_better else []
    )


# The command


@pytest.mark.parametrize(
    ("arguments", "of_table", "of_fit"),
    [
        ([], {}, {}),
        (["--label", "state"], {"label": "state"}, {}),
        (["--features", "a, b"], {"features": ("a", "b")}, {}),
        (["--drop", "a,b"], {"drop": ("a", "b")}, {}),
        (["--group", "rig"], {"group": "rig"}, {}),
        (["--time-order"], {"time_order": True}, {}),
        (["--sep", ";"], {"sep": ";"}, {}),
        (["--decimal", ","], {"decimal": ","}, {}),
        (["--drop-bad-rows"], {"drop_bad_rows": True}, {}),
        (["--layers", "8,4"], {}, {"layers": (8, 4)}),
        (["--epochs", "7"], {}, {"epochs": 7}),
        (["--batch-size", "64"], {}, {"batch_size": 64}),
        (["--learning-rate", "0.01"], {}, {"learning_rate": 0.01}),
        (["--patience", "5"], {}, {"patience": 5}),
        (["--weights", "balanced"], {}, {"class_weight": "balanced"}),
        (["--class-weight", "balanced"], {}, {"class_weight": "balanced"}),
        (["--weights", "b=5, a=0.5"], {}, {"class_weight": {"a": 0.5, "b": 5.0}}),
        (["--weights", '"a, b=c=2"'], {}, {"class_weight": {"a, b=c": 2.0}}),
        (["--l2", "0.01"], {}, {"l2": 0.01}),
        (["--seed", "7"], {}, {"seed": 7}),
    ],
)
def test_each_option_reaches_its_setting(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], of_table: dict[str, object], of_fit: dict[str, object]
) -> None:
    class ReachedError(Exception):
        pass

    def reached(path: Path, **given: object) -> None:
        assert path == Path("data.csv")
        assert given["table"] == TableSettings(**of_table)
        assert given["fitting"] == FitSettings(**of_fit)
        assert (given["out"], given["name"]) == (Path("model"), None)
        raise ReachedError

    monkeypatch.setattr(training, "train", reached)
    result = CliRunner().invoke(app, ["train", "data.csv", *arguments])
    assert isinstance(result.exception, ReachedError)


def test_the_command_on_a_terminal_repeats_the_weights_of_another_process(
    wine_csv: Path, wine_bundle: Path, tmp_path: Path
) -> None:
    """stderr is a terminal, stdout a pipe; the fixture was trained in this process, after whatever ran before."""
    out = tmp_path / "chosen"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("train", wine_csv, "--json", "--out", out, "--name", "cellar"),
        cwd=tmp_path,
        env=environment({"TERM": "xterm"}),
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = read_all(ours)
        document = json.loads(process.stdout.read())
    os.close(ours)
    assert process.returncode == 0
    assert document["model"]["name"] == "cellar"
    assert document["model"]["path"] == str(out)
    assert document["test"] == json.loads((out / "metrics.json").read_text("utf-8"))["test"]
    assert document["rows"] == {"training": 124, "validation": 27, "test": 27}
    assert (out / "weights.bin").read_bytes() == (wine_bundle / "weights.bin").read_bytes()
    assert "Starting TensorFlow" in shown
    assert re.search(r"Epoch \d+/50 .*━.* loss \d\.\d{3} \(validation \d\.\d{3}\)  accuracy \d\.\d{3} \(\d", shown)
    for noise in ("WARNING", "oneDNN", "tensorflow/", "I0000", "CUDA", "Traceback"):
        assert noise not in shown


def test_without_a_terminal_a_line_stands_for_ten_epochs() -> None:
    text = io.StringIO()
    with Screen(Console(file=text)) as screen:
        screen.stage("Training")
        screen.note("Warning: [red] is no markup")
        for number in range(1, 26):
            screen.epoch(Epoch(number, 0.5, 0.75, 0.25, 0.875), 25)
    figures = "loss 0.500 (validation 0.250)  accuracy 0.750 (0.875)"
    assert text.getvalue().splitlines() == [
        "Warning: [red] is no markup",
        *(f"Epoch {number}/25: {figures}" for number in (1, 10, 20, 25)),
    ]


def test_the_result_is_a_table_beside_the_baselines(
    wine_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = trained(wine_csv, tmp_path / "m", epochs=40, patience=2, learning_rate=0.05)
    show(made, as_json=False)
    text = capsys.readouterr().out
    settings, test = made.bundle.manifest.training.settings, made.metrics["test"]
    assert f"Stopped after epoch {settings['epochs_run']}; the weights are those of epoch" in text
    assert "Judged on 27 rows that training never saw (124 trained it, 27 steered it; stratified)." in text
    columns = [test, *(made.metrics["baselines"][name] for name in ("random_forest", "logistic_regression"))]
    line = next(line for line in text.splitlines() if line.startswith("macro-F1"))
    assert line.split()[1:4] == [f"{column['macro_f1']:.3f}" for column in columns]
    recalls = " +".join(f"{column['per_class']['class_0']['recall']:.3f}" for column in columns)
    assert re.search(rf"recall of class_0 +9 +{recalls}", text)
    assert made.verdict[0] in text


def test_what_must_not_be_missed_stands_first(
    wine_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = trained(wine_csv, tmp_path / "m", features=("ash",), epochs=1, learning_rate=1e-30)
    show(made, as_json=False)
    first = capsys.readouterr().out.splitlines()[0]
    assert re.match(r"(Accuracy misleads here|It recognised no row of)", first)
    assert first == made.verdict[0]
    show(made, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert next(iter(document)) == "verdict"
    assert document["verdict"] == made.verdict


def read_all(terminal: int) -> str:
    """What a terminal shows until its program has gone."""
    parts = []
    while True:
        try:
            parts.append(os.read(terminal, 65536))
        except OSError:
            return b"".join(parts).decode()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["absent.csv"], 3, "absent.csv cannot be read"),
        (["data.csv"], 3, "line 3, column 'a': 'x' is not a number"),
        (["data.csv", "--epochs", "0"], 2, "--epochs 0"),
        (["data.csv", "--layers", "big"], 2, "--layers big"),
        (["data.csv", "--config", "absent.toml"], 2, "absent.toml cannot be read"),
        (["data.csv", "--out", "."], 7, "exists and is not a model"),
    ],
)
def test_an_error_ends_the_command_with_its_code_and_nothing_written(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "data.csv").write_text("a,status\n1,x\nx,y\n2,x\n", "utf-8")
    result = run_cli("train", *arguments, cwd=tmp_path)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert [file.name for file in tmp_path.iterdir()] == ["data.csv"]


# Real measurements


def test_hydraulic_pump(tmp_path: Path) -> None:
    made = trained(real_data("hydraulic_pump_leak_8.csv"), tmp_path / "m")
    assert len(made.bundle.manifest.features) == 8
    assert made.metrics["test"]["macro_f1"] >= 0.87
    assert made.verdict[0].startswith("The network earns its place")
    assert made.verdict[1].startswith("A random forest is better on the same rows")


def test_ai4i_begins_with_what_its_accuracy_hides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = trained(real_data("ai4i2020_5class.csv"), tmp_path / "m", epochs=10)
    show(made, as_json=False)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("Accuracy misleads here: always answering the commonest class reaches 0.967")
    assert second.startswith("It recognised no row of ")
    assert "'tool_wear'" in second


def test_occupancy(tmp_path: Path) -> None:
    made = trained(real_data("occupancy.csv"), tmp_path / "m", epochs=10)
    assert len(made.bundle.manifest.features) == 5
    assert made.metrics["test"]["macro_f1"] >= 0.97


def test_a_spreadsheets_export(tmp_path: Path) -> None:
    watcher = Recorder()
    path = real_data("messy_a_excel_de.csv")
    made = trained(path, tmp_path / "m", label="Status", drop_bad_rows=True, watcher=watcher, **QUICK)
    assert sum(made.bundle.manifest.training.rows.values()) == 2125
    assert made.bundle.classes == ("none", "severe", "weak")
    assert any(note.startswith("160 of 2285 rows dropped") and "Status 10" in note for note in watcher.notes)
    assert any("'None' as 'none' (2)" in note for note in watcher.notes)
    assert watcher.notes == list(made.notes)


def test_training_leaves_representative_rows_apart_from_the_held_out_ones(wine_bundle: Path, wine_csv: Path) -> None:
    held, kept, whole = (
        {tuple(row.cells) for row in read_table(path).rows()}
        for path in (wine_bundle / "heldout.csv", wine_bundle / "representative.csv", wine_csv)
    )
    sizes = load_bundle(wine_bundle).manifest.training.rows
    assert len(kept) == sizes["training"]  # fewer than 500
    assert not kept & held
    assert {tuple(map(float, row[:-1])) for row in kept} <= {tuple(map(float, row[:-1])) for row in whole}
