"""`evaluate --cv`: the recipe that the bundle records, its figures over the folds, and how they are shown."""

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.errors import AmpedgeError, DataError, ModelRefusedError, UsageError
from ampedge.model.bundle import Bundle, load_bundle, pack_bundle
from ampedge.samples import DATA, shipped
from ampedge.training.fitting import cross_validation
from ampedge.training.fitting.cross_validation import CrossValidation, cross_validate, spread
from ampedge.training.judging.cross_validation_report import cross_validation_page
from ampedge.training.judging.evaluation import evaluate
from ampedge.training.judging.judged_rows import rows_for_both, rows_to_score
from ampedge.training.rows.dataset import Dataset
from ampedge.training.settings import FitSettings
from tests.support.training import trained

Calls = list[tuple[Dataset, FitSettings]]
ODD = "<b>=odd"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Semicolons, a decimal comma, runs of five rows, a column that is left out, a cell that is bad."""
    drawn = np.random.RandomState(5)
    lines = ["x;y;spare;run;state"]
    for row in range(120):
        odd = row // 5 % 3 == 0
        x, y = drawn.normal(2.0 * odd), drawn.normal()
        lines.append(f"{x:.3f};{y:.3f};{drawn.normal():.3f};{row // 5};{ODD if odd else 'even'}".replace(".", ","))
    lines.append("n/a;0;0;99;even")
    path = tmp_path_factory.mktemp("table") / "data.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def bundle(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    made = trained(
        table,
        tmp_path_factory.mktemp("bundle") / "model",
        label="state",
        drop=("spare",),
        group="run",
        drop_bad_rows=True,
        layers=(3,),
        epochs=2,
        l2=0.01,
        class_weight={ODD.upper(): 3.0},
        costs={ODD: 4.0},
        seed=7,
    )
    return load_bundle(made.bundle.path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """What would have been trained: the network says the last class with a probability of 0.25 instead."""
    found: Calls = []

    def calibrated(data: Dataset, training: object, validation: object, settings: FitSettings) -> SimpleNamespace:
        found.append((data, settings))
        others = 0.75 / (len(data.classes) - 1)
        probabilities = np.array([others] * (len(data.classes) - 1) + [0.25])
        return SimpleNamespace(
            network=SimpleNamespace(probabilities=lambda rows: np.tile(probabilities, (len(rows), 1)))
        )

    monkeypatch.setattr(cross_validation, "calibrated", calibrated)
    monkeypatch.setattr(cross_validation, "start", lambda: None)
    return found


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_the_recipe_of_the_bundle_is_repeated(bundle: Bundle, table: Path, calls: Calls) -> None:
    found = cross_validate(bundle, table, count=3, read={"group": None, "drop_bad_rows": False})
    assert len(calls) == len(found.folds) == 3
    for data, settings in calls:
        assert data.features == ("x", "y")
        assert data.groups is not None
        assert len(data.targets) == 120
        assert settings == FitSettings(layers=[3], epochs=2, l2=0.01, class_weight={ODD: 3.0}, costs={ODD: 4.0}, seed=7)
    assert found.split == "groups of 'run' kept apart"
    assert any("1 of 121 rows dropped" in note for note in found.notes)


def test_what_is_given_takes_the_place_of_what_is_recorded(bundle: Bundle, table: Path, calls: Calls) -> None:
    text = table.read_text("utf-8").replace("state", "what").replace("run", "day").replace("n/a", "0,5")
    other = table.with_name("other.csv")
    other.write_text(text, "utf-8")
    with pytest.raises(DataError, match="state"):
        cross_validate(bundle, other, count=3, read={})
    found = cross_validate(bundle, other, count=4, read={"label": "what", "group": "day"})
    assert (found.rows, found.split) == (121, "groups of 'day' kept apart")
    assert len(calls) == 4


def test_groups_that_are_given_take_the_place_of_the_order_of_time(bundle: Bundle, table: Path, calls: Calls) -> None:
    in_time = with_settings(bundle, group=None, time_order=True)
    assert cross_validate(in_time, table, count=3, read={}).split == "each fold judged by what came before it"
    assert cross_validate(in_time, table, count=3, read={"group": "run"}).split == "groups of 'run' kept apart"
    assert len(calls) == 6


def test_the_thresholds_of_the_costs_decide(bundle: Bundle, table: Path, calls: Calls) -> None:
    """The network says `even` at 0.75; `<b>=odd`, the first class, has the threshold 0.2 of its cost."""
    found = cross_validate(bundle, table, count=3, read={})
    assert [figures["per_class"][ODD]["recall"] for figures in found.folds] == [1.0] * 3
    assert calls


def test_mean_and_deviation_are_those_of_the_folds() -> None:
    assert spread([0.5, 0.7, 0.9]).document() == pytest.approx({"mean": 0.7, "deviation": 0.2})
    assert spread([0.5]).document() == {"mean": 0.5, "deviation": 0.0}


def test_the_command_trains_judges_and_reports(bundle: Bundle, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    result = run(table, "--cv", 3, "--model", bundle.path, "--out", out, "--json", "--min-macro-f1", 0)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document == json.loads((out / "report.json").read_text("utf-8"))
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
    folds = document["folds"]
    assert [sum(fold["rows"].values()) for fold in folds] == [120] * 3
    assert sum(fold["rows"]["judged"] for fold in folds) == 120
    for name in ("accuracy", "macro_f1"):
        figures = [fold[name] for fold in folds]
        assert document[name]["mean"] == pytest.approx(statistics.mean(figures))
        assert document[name]["deviation"] == pytest.approx(statistics.stdev(figures))
    recalls = [fold["per_class"][ODD]["recall"] for fold in folds]
    assert document["per_class"][ODD]["recall"]["mean"] == pytest.approx(statistics.mean(recalls))
    assert document["held_out_macro_f1"] == bundle.manifest.metrics["test"]["macro_f1"]
    assert "Report: " in result.stderr


def test_the_gate_is_the_mean(bundle: Bundle, table: Path, tmp_path: Path, calls: Calls) -> None:
    result = run(table, "--cv", 3, "--model", bundle.path, "--out", tmp_path / "e", "--min-macro-f1", 0.9)
    assert isinstance(result.exception, AmpedgeError)
    assert result.exception.exit_code == 6
    assert "Mean macro-F1 is" in str(result.exception)
    for words in (
        "trained anew on each of 3 folds", "fold", "mean", "worst first", ODD, "± standard deviation",
        "The model itself has a macro-F1 of",
    ):  # fmt: skip
        assert words in result.stdout
    assert calls


def test_names_are_escaped_on_the_page(bundle: Bundle, table: Path, calls: Calls) -> None:
    page = cross_validation_page(cross_validate(bundle, table, count=3, read={}, min_macro_f1=0.99))
    assert "&lt;b&gt;=odd" in page
    assert ODD not in page
    assert "limit 0.99" in page
    assert calls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "{model}", "--cv", 3), "--cv trains on a table, and none is given"),
        (("{model}", "{model}", "{table}", "--cv", 3), "two are given"),
    ],
)
def test_what_does_not_go_together_is_refused(
    bundle: Bundle, table: Path, arguments: tuple[object, ...], words: str
) -> None:
    result = run(*(str(one).format(model=bundle.path, table=table) for one in arguments))
    assert isinstance(result.exception, UsageError)
    assert words in result.exception.problem


def test_a_column_that_is_constant_in_a_fold_is_named_with_a_way_out(
    bundle: Bundle, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = table.read_text("utf-8").splitlines()[:-1]
    header, rows = lines[0], [line.split(";") for line in lines[1:]]
    for row, cells in enumerate(rows):
        cells[1] = "1" if row < 115 else "2"
    still = table.with_name("still.csv")
    still.write_text("\n".join([header, *map(";".join, rows)]) + "\n", "utf-8")
    monkeypatch.setattr(cross_validation, "start", lambda: None)
    with pytest.raises(DataError, match=r"In one of the folds: .*'y' is 1 in every row") as caught:
        cross_validate(with_settings(bundle, group=None, time_order=True), still, count=3, read={})
    assert "fewer folds" in caught.value.remedy


def with_settings(bundle: Bundle, **changes: object) -> Bundle:
    """The bundle as if it had been trained with these settings."""
    training = bundle.manifest.training
    settings = {name: value for name, value in {**training.settings, **changes}.items() if value is not None}
    manifest = bundle.manifest.model_copy(update={"training": training.model_copy(update={"settings": settings})})
    return replace(bundle, manifest=manifest)


def test_a_model_from_before_the_table_was_recorded_says_so(calls: Calls) -> None:
    old = load_bundle(Path(__file__).parent / "bundles" / "protocol_1.ampedge")
    found = cross_validate(old, shipped(DATA), count=2, read={})
    assert found.split == "stratified"
    assert any("does not record how its table was split" in note for note in found.notes)
    assert calls[0][1].layers == [layer.units for layer in old.manifest.layers[:-1]]


@pytest.mark.parametrize("changes", [{"layers": "wide"}, {"epochs": None}, {"group": 3}])
def test_a_model_without_readable_settings_is_refused(
    bundle: Bundle, table: Path, calls: Calls, changes: dict[str, object]
) -> None:
    with pytest.raises(ModelRefusedError, match="does not say with which settings"):
        cross_validate(with_settings(bundle, **changes), table, count=3, read={})
    assert not calls


def test_a_swept_model_is_said_to_flatter(bundle: Bundle, table: Path, calls: Calls) -> None:
    swept = replace(bundle, manifest=bundle.manifest.model_copy(update={"metrics": {"sweep": {}}}))
    found: CrossValidation = cross_validate(swept, table, count=3, read={})
    assert any("chosen by --sweep" in note for note in found.notes)
    assert found.held_out is None
    assert calls


def test_a_missing_extra_is_named(bundle: Bundle, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_bundle(bundle, tmp_path / "one.ampedge")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for arguments in (("--cv", 3), ()):
        result = run(table, *arguments, "--model", tmp_path / "one.ampedge", "--out", tmp_path / "e")
        assert isinstance(result.exception, UsageError)
        assert 'pip install "ampedge[train]"' in result.exception.remedy


# The held-out rows of a bundle that does not carry them


def test_the_held_out_rows_are_found_again_in_the_table_of_the_training(
    bundle: Bundle, table: Path, tmp_path: Path
) -> None:
    pack_bundle(bundle, tmp_path / "one.ampedge")
    kept, _ = rows_to_score(bundle, None)
    again, what = rows_to_score(load_bundle(tmp_path / "one.ampedge"), table)
    assert [(row.values, row.label, row.group) for row in again.rows] == [
        (row.values, row.label, row.group) for row in kept.rows
    ]
    assert again.held_out
    assert what == f"the rows of {table} that training held out"
    lines = table.read_text("utf-8").splitlines()
    for row in again.rows:
        assert [float(cell.replace(",", ".")) for cell in lines[row.line - 1].split(";")[:2]] == list(row.values)


def test_other_groups_than_those_of_the_training_are_found_in_its_table(bundle: Bundle, table: Path) -> None:
    own, other = (rows_to_score(bundle, table, group=name)[0] for name in ("run", "spare"))
    assert [row.values for row in other.rows] == [row.values for row in own.rows]
    cells = {line.split(";")[2] for line in table.read_text("utf-8").splitlines()}
    assert {row.group for row in other.rows} <= cells
    for rows, seen in ((own, "saw none of these groups. "), (other, "may have seen other rows of these groups. ")):
        found = evaluate(bundle, rows, scored="").groups
        assert found is not None
        assert found.sentence().startswith(f"Training {seen}")


def test_two_models_are_judged_by_groups_that_only_the_table_of_the_training_has(
    bundle: Bundle, table: Path, tmp_path: Path
) -> None:
    pack_bundle(bundle, tmp_path / "one.ampedge")
    own, _ = rows_to_score(bundle, table, group="spare")
    mine, its, what = rows_for_both(bundle, load_bundle(tmp_path / "one.ampedge"), table, group="spare")
    assert what == f"the rows of {table} that training held out"
    for rows in (mine, its):
        assert [(row.line, row.group) for row in rows.rows] == [(row.line, row.group) for row in own.rows]


@pytest.mark.parametrize("changes", [{"seed": 8}, {"time_order": None}])
def test_a_split_that_is_not_that_of_the_training_is_not_believed(
    bundle: Bundle, table: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    pack_bundle(bundle, tmp_path / "one.ampedge")
    other = with_settings(load_bundle(tmp_path / "one.ampedge"), **changes)
    rows, what = rows_to_score(other, table, drop_bad_rows=True)
    assert len(rows.rows) == 120
    assert "all rows" in what
    assert any("was trained on most of these rows" in note for note in rows.notes)
