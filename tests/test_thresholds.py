"""Thresholds by the cost of a miss: what is said, what that trades, and what the bundle and the edge make of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.decision import chosen
from ampedge.errors import ModelRefusedError, UsageError
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.pipeline import Pipeline
from ampedge.records import Frame, Record
from ampedge.training.fitting.thresholds import known_costs, said, threshold, trade, traded
from ampedge.training.settings import parsed_costs
from tests.support.bundles import centre_layers, make_bundle

CLASSES = ("fine", "worn", "broken")


@pytest.mark.parametrize(
    ("probabilities", "thresholds", "place"),
    [
        ([0.6, 0.3, 0.1], {}, 0),
        ([0.4, 0.4, 0.2], {}, 0),
        ([0.6, 0.3, 0.1], {2: 0.2}, 0),
        ([0.6, 0.2, 0.2], {2: 0.2}, 2),
        ([0.3, 0.1, 0.6], {2: 0.7}, 0),  # the most probable, but not as probable as it has to be
        ([0.5, 0.3, 0.2], {1: 0.2, 2: 0.1}, 2),  # 1.5 times its threshold, and twice
        ([0.5, 0.4, 0.1], {1: 0.2, 2: 0.1}, 1),
        ([0.1, 0.5, 0.4], {1: 0.6, 2: 0.5}, 0),
    ],
)
def test_which_class_is_said(probabilities: list[float], thresholds: dict[int, float], place: int) -> None:
    assert chosen(probabilities, thresholds) == place
    assert said(np.array([probabilities]), thresholds).tolist() == [place]


@pytest.mark.parametrize(("cost", "expected"), [(1, 0.5), (50, 1 / 51), (0.25, 0.8)])
def test_a_miss_and_a_false_alarm_cost_the_same_at_the_threshold(cost: float, expected: float) -> None:
    at = threshold(cost)
    assert at == pytest.approx(expected)
    assert (1 - at) == pytest.approx(cost * at)


def test_a_trade_counts_misses_and_false_alarms_from_each_threshold() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.2, 0.8]])
    found = trade(probabilities, np.array([0, 1, 0, 1], dtype=np.int32), 1, name="worn", cost=3)
    assert found.thresholds.tolist() == [0.1, 0.3, 0.8]
    assert found.misses.tolist() == [0, 0, 1]
    assert found.false_alarms.tolist() == [2, 1, 0]
    assert found.costs.tolist() == [2, 1, 3]
    assert (found.chosen, found.rows) == (0.25, 4)


def test_what_the_thresholds_change_is_counted_with_and_without() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3], [0.2, 0.8]])
    targets = np.array([0, 1, 0, 1], dtype=np.int32)
    found = traded([trade(probabilities, targets, 1, name="worn", cost=3)], ("fine", "worn"), targets, probabilities)
    assert found == {
        "worn": {
            "cost": 3,
            "threshold": 0.25,
            "rows": 2,
            "misses": 0,
            "false_alarms": 1,
            "without": {"misses": 1, "false_alarms": 0},
        }
    }


def test_costs_are_parsed() -> None:
    assert parsed_costs(["failsoon=50", " a=b = 0.5"]) == {"failsoon": 50, "a=b": 0.5}
    for wrong in ("failsoon", "failsoon=", "=5", "x=0", "x=-1", "x=nan", "x=1e9", "x=many"):
        with pytest.raises(UsageError, match="--cost"):
            parsed_costs([wrong])
    with pytest.raises(UsageError, match="twice"):
        parsed_costs(["a=1", "a=2"])


def test_costs_name_classes() -> None:
    assert known_costs({"WORN": 5.0}, CLASSES, "fine") == {"worn": 5.0}
    with pytest.raises(UsageError, match="did you mean 'worn'"):
        known_costs({"wron": 5.0}, CLASSES, "fine")
    with pytest.raises(UsageError, match="normal state"):
        known_costs({"Fine": 5.0}, CLASSES, "fine")


def bundle_with(tmp_path: Path, thresholds: dict[str, float]) -> Bundle:
    """One tag; `fine` at -1 of it, `worn` at 1."""
    return make_bundle(
        tmp_path / "model",
        classes=("fine", "worn"),
        mean=(0.0,),
        std=(1.0,),
        layers=centre_layers(np.array([[-1.0], [1.0]])),
        thresholds=thresholds,
    )


def record_of(bundle: Bundle, value: float, **options: float) -> Record:
    pipeline = Pipeline(bundle, **options)
    return pipeline.run(Frame("device", 0.0, encode_row(pipeline.datamap.tags, (value,))))


def test_the_pipeline_says_a_class_from_its_threshold_on(tmp_path: Path) -> None:
    """At -0.5 the scores differ by 4 * 0.5, so `worn` has a probability of 1 / (1 + e^2) = 0.119."""
    bundle = bundle_with(tmp_path, {"worn": 0.1})
    record = record_of(bundle, -0.5)
    assert (record.class_name, record.label, record.reasons) == ("worn", "worn", ())
    assert record.confidence == pytest.approx(0.1192, abs=1e-4)
    assert record_of(bundle, -0.5, min_confidence=0.99).label == "worn"  # its threshold is its least confidence
    assert record_of(bundle, -0.6).label == "fine"
    assert record_of(bundle, -0.6, min_confidence=0.99).label == "unknown"


@pytest.mark.parametrize("thresholds", [{"broken": 0.1}, {"worn": 0.0}, {"worn": 1.5}, {"worn": -0.1}, {"fine": 0.5}])
def test_thresholds_that_cannot_be_are_refused(tmp_path: Path, thresholds: dict[str, float]) -> None:
    with pytest.raises(ModelRefusedError, match=r"threshold"):
        bundle_with(tmp_path, thresholds)


@pytest.mark.slow
def test_train_stores_them_shows_the_trade_and_judges_what_will_run(tmp_path: Path) -> None:
    drawn = np.random.RandomState(0)
    rows = [(drawn.normal(0, 1), "fine") for _ in range(300)] + [(drawn.normal(1.5, 1), "worn") for _ in range(60)]
    table = tmp_path / "data.csv"
    table.write_text("x,status\n" + "".join(f"{x:.4f},{name}\n" for x, name in rows))
    options = ["train", str(table), "--epochs", "5", "--layers", "4"]
    runner = CliRunner()
    plain = runner.invoke(app, [*options, "--out", str(tmp_path / "plain"), "--json"])
    costly = runner.invoke(app, [*options, "--out", str(tmp_path / "costly"), "--json", "--cost", "Worn=20"])
    assert (plain.exit_code, costly.exit_code) == (0, 0), costly.stderr
    without, found = json.loads(plain.stdout), json.loads(costly.stdout)
    assert without["costs"] == {}
    assert not (tmp_path / "plain" / "cost_curves.png").exists()
    of_worn = found["costs"]["worn"]
    assert of_worn["threshold"] == pytest.approx(1 / 21)
    assert of_worn["misses"] < of_worn["without"]["misses"]
    assert found["test"]["per_class"]["worn"]["recall"] == pytest.approx(1 - of_worn["misses"] / of_worn["rows"])
    assert found["test"]["per_class"]["worn"]["recall"] > without["test"]["per_class"]["worn"]["recall"]
    for learned in ("logistic_regression", "random_forest"):  # all are judged by the same costs
        before, after = (one["baselines"][learned]["per_class"]["worn"]["recall"] for one in (without, found))
        assert after > before
    bundle = load_bundle(tmp_path / "costly")
    assert bundle.manifest.thresholds == {"worn": pytest.approx(1 / 21)}
    assert bundle.manifest.training.settings["costs"] == {"worn": 20}
    assert (tmp_path / "costly" / "cost_curves.png").read_bytes().startswith(b"\x89PNG")
    evaluated = runner.invoke(app, ["evaluate", "--model", str(bundle.path), "--out", str(tmp_path / "e"), "--json"])
    assert json.loads(evaluated.stdout)["per_class"] == found["test"]["per_class"]
    assert json.loads(evaluated.stdout)["costs"] == {"worn": {**of_worn, "stored": pytest.approx(1 / 21)}}
    assert (tmp_path / "e" / "cost_curves.png").read_bytes().startswith(b"\x89PNG")
    judge = ["evaluate", "--model", str(tmp_path / "plain"), "--out", str(tmp_path / "e")]
    shown = runner.invoke(app, [*judge, "--cost", "worn=20"])
    assert "so it should be said from a probability of 0.0476 on (`train --cost` stores that)" in shown.stdout
    assert "A miss of worn costs 20 false alarms" in (tmp_path / "e" / "report.html").read_text()
    again = runner.invoke(
        app, ["evaluate", str(bundle.path), "--cost", "worn=2", "--out", str(tmp_path / "e"), "--json"]
    )
    other = json.loads(again.stdout)["costs"]["worn"]
    assert other["stored"] == pytest.approx(1 / 21)
    assert other["as_is"] == {name: of_worn[name] for name in ("misses", "false_alarms")}
    assert other["threshold"] == pytest.approx(1 / 3)
    assert f"as the model is {of_worn['misses']}, without thresholds " in (tmp_path / "e" / "report.html").read_text()
    without = runner.invoke(app, [*judge, "--json"])
    assert json.loads(without.stdout)["costs"] == {}
    assert not (tmp_path / "e" / "cost_curves.png").exists()
    assert isinstance(runner.invoke(app, [*judge, "--cost", "torn=5"]).exception, UsageError)
    assert isinstance(runner.invoke(app, [*judge, "--cost", "worn=5", "--cv", "3"]).exception, UsageError)
    wrong = runner.invoke(app, [*options, "--out", str(tmp_path / "x"), "--cost", "torn=5"])
    assert isinstance(wrong.exception, UsageError)
    assert not (tmp_path / "x").exists()
