"""`train --sweep` and `train --weights`: what is tried, what is kept, what the weights do."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.cli.training_screen import Screen
from ampedge.errors import DataError, UsageError
from ampedge.training import train as training
from ampedge.training.fitting import sweep as sweeping
from ampedge.training.fitting.cross_validation import Spread
from ampedge.training.fitting.sweep import Trial, best, candidates
from ampedge.training.fitting.weighting import class_weights, known_weights
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.folds import Fold
from ampedge.training.rows.split import split
from ampedge.training.settings import FitSettings
from tests.support.training import Recorder, trained

QUICK = {"epochs": 1}


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


# The sweep


def test_the_grid_varies_what_is_not_given() -> None:
    plain = FitSettings(layers=(5,), l2=0.5, epochs=7)
    tried = candidates(plain, ())
    assert len(tried) == 12
    assert len({(one.layers, one.learning_rate, one.l2) for one in tried}) == 12
    assert {one.epochs for one in tried} == {7}
    fixed = candidates(plain, ["layers", "l2"])
    assert [(one.layers, one.learning_rate, one.l2) for one in fixed] == [((5,), 0.001, 0.5), ((5,), 0.003, 0.5)]
    with pytest.raises(UsageError, match="nothing left to try"):
        candidates(plain, ["layers", "learning_rate", "l2"])


def test_the_best_has_the_highest_mean_and_of_equal_ones_the_smallest_network() -> None:
    def trial(macro_f1: float, parameters: int) -> Trial:
        return Trial(FitSettings(), parameters, Spread(0.9, 0.0), Spread(macro_f1, 0.1))

    trials = [trial(0.7, 10), trial(0.8, 300), trial(0.8, 200), trial(0.75, 1)]
    assert best(trials) is trials[2]


def test_the_command_line_says_what_is_varied(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[FitSettings, ...]] = []

    def reached(*_: object, **given: Any) -> None:
        seen.append(tuple(given["tried"]))
        raise UsageError("Far enough.", "Go back.")

    monkeypatch.setattr(training, "train", reached)
    run("data.csv")
    run("data.csv", "--sweep")
    run("data.csv", "--sweep", "--learning-rate", 0.001, "--layers", "8")
    assert [len(tried) for tried in seen] == [0, 12, 2]
    assert {(one.layers, one.learning_rate) for one in seen[2]} == {((8,), 0.001)}


def test_held_out_rows_have_no_say_and_the_best_is_trained(
    wine_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FitSettings(layers=(3,), **QUICK)
    tried = [plain, replace(plain, l2=0.1), replace(plain, layers=(4,))]
    seen: list[tuple[Dataset, Fold]] = []

    def fold_scores(data: Dataset, fold: Fold, settings: FitSettings, costs: object) -> dict[str, float]:
        seen.append((data, fold))
        return {"accuracy": 0.5, "macro_f1": 0.9 if settings.l2 else 0.8}

    monkeypatch.setattr(sweeping, "fold_scores", fold_scores)
    watcher = Recorder()
    made = trained(wine_csv, tmp_path / "m", layers=(3,), tried=tried, watcher=watcher, **QUICK)
    data, table = seen[0][0], training.TableSettings()
    held_out = set(split(data, table, 42).test.tolist())
    assert len(seen) == 9
    for _, fold in seen:
        used = {*fold.training.tolist(), *fold.validation.tolist(), *fold.judged.tolist()}
        assert used == set(range(178)) - held_out
    assert [(one.layers, one.l2, done, of) for one, done, of in watcher.fits][::3] == [
        ((3,), 0.0, 0, 9), ((3,), 0.1, 3, 9), ((4,), 0.0, 6, 9),
    ]  # fmt: skip
    assert made.bundle.manifest.training.settings["l2"] == 0.1
    assert made.metrics["sweep"]["chosen"] == 1


def test_rows_that_allow_no_folds_are_an_error_with_a_way_out(tmp_path: Path) -> None:
    lines = [f"{row},{row * 7 % 30},{'ab'[row % 2]},{row // 10}" for row in range(30)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["x,y,status,run", *lines]) + "\n", "utf-8")
    result = run(path, "--sweep", "--group", "run", "--features", "x,y", "--out", tmp_path / "m")
    assert isinstance(result.exception, DataError)
    assert "--sweep: " in result.exception.problem
    assert "2 groups are too few for 3 folds" in result.exception.problem
    assert "Leave --sweep away" in result.exception.remedy
    assert not (tmp_path / "m").exists()


def test_the_sweep_shows_all_that_was_tried_and_ends_as_the_same_training_would(
    wine_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweeping, "_GRID", {"layers": ((3,),), "learning_rate": (1e-30, 0.05), "l2": (0.001,)})
    out = tmp_path / "swept"
    result = run(wine_csv, "--sweep", "--epochs", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert not [record for record in caplog.records if record.name == "tensorflow"]  # of functions traced anew
    assert (
        "tried 2 settings on 3 folds of the rows that are not held out and kept layers 3, learning rate 0.05, L2 0.001"
        in (" ".join(result.stdout.split()))
    )
    assert "Sweep 6/6: layers 3, learning rate 0.05, L2 0.001" in result.stderr
    swept = json.loads((out / "metrics.json").read_text("utf-8"))["sweep"]
    assert [trial["learning_rate"] for trial in swept["tried"]] == [1e-30, 0.05]
    assert swept["tried"][0]["parameters"] == 13 * 3 + 3 + 3 * 3 + 3
    assert (swept["folds"], swept["chosen"]) == (3, 1)
    for trial in swept["tried"]:
        line = f"{trial['macro_f1']['mean']:.3f} ± {trial['macro_f1']['deviation']:.3f}"
        assert line in result.stdout
    plain = tmp_path / "plain"
    options = ("--layers", 3, "--learning-rate", 0.05, "--l2", 0.001, "--epochs", 2)
    same = run(wine_csv, *options, "--out", plain, "--json")
    assert (plain / "weights.bin").read_bytes() == (out / "weights.bin").read_bytes()
    assert "sweep" not in json.loads(same.stdout)


def test_a_terminal_shows_one_bar_for_the_sweep() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=110, color_system=None)
    with Screen(console) as screen:
        screen.stage("Starting TensorFlow")
        for done in range(3):
            screen.trying(FitSettings(), done, 3)
        screen._progress.refresh()
        assert "Sweep 3/3: layers 64,32,16, learning rate 0.001, L2 0" in text.getvalue()
        screen.stage("Training")
        assert [task.description for task in screen._progress.tasks] == ["Training"]


# Weights of the classes


def test_given_weights_count_as_they_stand_to_each_other() -> None:
    targets = np.array([0] * 6 + [1] * 3 + [2], dtype=np.int32)
    found = class_weights(targets, ("a", "b", "c"), {"c": 5.0})
    assert found.tolist() == pytest.approx([10 / 14, 10 / 14, 50 / 14])
    assert found[targets].mean() == pytest.approx(1)
    assert class_weights(targets, ("a", "b", "c"), {"a": 2.0, "b": 2.0, "c": 10.0}).tolist() == pytest.approx(
        found.tolist()
    )


def test_weights_are_given_by_any_spelling_of_a_class() -> None:
    assert known_weights({" Fails  SOON": 5.0}, ("fails soon", "healthy")) == {"fails soon": 5.0}
    assert known_weights("balanced", ("a", "b")) == "balanced"


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("clas_1=5", "--weights: 'clas_1' is none of the classes class_0, class_1, class_2; did you mean 'class_1'?"),
        ("class_1=0", "--weights 'class_1=0': it is a class, '=' and a number from 0.001"),
        ("class_1=5,class_1=6", "--weights names 'class_1' twice"),
        ("class_1=5,CLASS_1=6", "--weights names 'class_1' twice"),
        ("heavy", "--weights heavy: there is no such weighting"),
    ],
)
def test_weights_that_cannot_be_are_refused(wine_csv: Path, tmp_path: Path, weights: str, words: str) -> None:
    result = run(wine_csv, "--weights", weights, "--out", tmp_path / "m")
    assert isinstance(result.exception, UsageError)
    assert words in result.exception.problem
    assert not (tmp_path / "m").exists()


def test_a_class_that_weighs_more_is_found_more_often(tmp_path: Path) -> None:
    drawn = np.random.RandomState(3)
    rare = drawn.uniform(size=400) < 0.15
    lines = [f"{drawn.normal(1.2 * one):.4f},{'bad' if one else 'good'}" for one in rare]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["x,status", *lines]) + "\n", "utf-8")
    recalls = []
    for weights in ("none", "bad=8"):
        result = run(path, "--weights", weights, "--layers", 4, "--epochs", 10, "--learning-rate", 0.02, "--json",
                     "--out", tmp_path / "m")  # fmt: skip
        document = json.loads(result.stdout)
        recalls.append(document["test"]["per_class"]["bad"]["recall"])
    assert recalls[1] > recalls[0]
    settings = json.loads((tmp_path / "m" / "manifest.json").read_text("utf-8"))["training"]["settings"]
    assert settings["class_weight"] == {"bad": 8.0}


def test_weights_and_costs_together_are_warned_of(wine_csv: Path, tmp_path: Path) -> None:
    for weights, warnings in (("balanced", 1), ("none", 0)):
        made = trained(wine_csv, tmp_path / "m", class_weight=weights, costs={"class_0": 5.0}, layers=(3,), **QUICK)
        assert sum("--cost takes them for true" in note for note in made.notes) == warnings


def test_l2_keeps_the_weights_small(wine_csv: Path, tmp_path: Path) -> None:
    sizes = []
    for l2 in ("0", "0.1"):
        run(wine_csv, "--l2", l2, "--layers", 4, "--epochs", 5, "--learning-rate", 0.02, "--out", tmp_path / "m")
        sizes.append(np.square(np.fromfile(tmp_path / "m" / "weights.bin", "<f4")).sum())
    assert sizes[1] < sizes[0] / 2
