"""`ampedge evaluate A B`: two models on the same rows, and whether the difference is more than luck."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.cli.judged import told_apart
from ampedge.errors import DataError, UsageError
from ampedge.model.bundle import Bundle, load_bundle, pack_bundle
from ampedge.table import Texts
from ampedge.training.judging.comparison_report import comparison_page
from ampedge.training.judging.evaluation import Evaluation, evaluate
from ampedge.training.judging.judged_rows import rows_for_both
from ampedge.training.judging.model_comparison import ModelComparison, compare, mcnemar
from ampedge.training.judging.swapping import swapped
from ampedge.training.rows.labelled import Labelled
from ampedge.training.rows.labelled_row import LabelledRow, LabelledRows
from tests.support.bundles import centre_layers, make_bundle

CLASSES = ("cold", "warm")
Rows = Sequence[tuple[Sequence[float], str]]
ROWS: Rows = [([1.0], "cold"), ([8.0], "cold"), ([12.0], "warm"), ([20.0], "warm")]


def threshold(place: Path, at: float, rows: Rows = ROWS, **further: object) -> Bundle:
    """A model that says warm above `at`."""
    layers = centre_layers(np.array([[-1.0], [1.0]]))
    return make_bundle(place, classes=CLASSES, mean=[at], std=[10], layers=layers, rows=rows, **further)


def judged(bundle: Bundle, values: Sequence[float], labels: str, groups: Sequence[str] = ()) -> Evaluation:
    names = {"c": "cold", "w": "warm"}
    rows = labelled(values, [names[label] for label in labels], groups)
    return evaluate(bundle, Labelled(Path("rows.csv"), rows), scored="rows")


def labelled(values: Sequence[float], labels: Sequence[str], groups: Sequence[str] = ()) -> LabelledRows:
    each = np.arange(len(values))
    lines, one_each = each + 2, np.array(values)[:, np.newaxis]
    return LabelledRows(lines, one_each, Texts(each, labels), Texts(each, groups) if groups else None)


def compared(tmp_path: Path, values: Sequence[float], labels: str, groups: Sequence[str] = ()) -> ModelComparison:
    """Models that say warm above 10 and above 15, on these rows."""
    first, second = threshold(tmp_path / "first", 10), threshold(tmp_path / "second", 15)
    rows = [LabelledRow(line, (value,), "") for line, value in enumerate(values, start=2)]
    return compare(judged(first, values, labels, groups), judged(second, values, labels, groups), rows)


class TestDifference:
    @pytest.mark.parametrize(
        ("only_first", "only_second", "p_value"),
        [(0, 0, 1), (5, 5, 1), (0, 5, 2 / 32), (9, 1, 22 / 1024), (0, 2000, 0), (900, 1100, 8.4e-6)],
    )
    def test_mcnemar(self, only_first: int, only_second: int, p_value: float) -> None:
        """Of ten tosses at most one head: (1 + 10) / 1024, on either side."""
        assert mcnemar(only_first, only_second) == pytest.approx(p_value, rel=0.02, abs=1e-300)

    def test_what_is_more_than_luck(self, tmp_path: Path) -> None:
        """Of 40 rows between the thresholds all are warm, so that the first is right 40 times more."""
        found = compared(tmp_path, [12.0] * 40 + [1.0] * 30 + [20.0] * 30, "w" * 40 + "c" * 30 + "w" * 30)
        assert found.right == {"both": 60, "only_first": 40, "only_second": 0, "neither": 0}
        assert (found.differ, found.accuracy.more) == (40, pytest.approx(-0.4))
        assert found.accuracy.p_value == pytest.approx(2 / 2**40)
        assert found.macro_f1.p_value == pytest.approx(1 / 2001)
        assert found.sentence().startswith(
            f"{tmp_path}/second is worse in accuracy and macro-F1 than {tmp_path}/first, by more than luck: "
            "accuracy -0.400 ("
        )
        assert [(one.expected, one.first, one.second) for one in found.examples][:1] == [("", "warm", "cold")]

    def test_what_may_be_luck(self, tmp_path: Path) -> None:
        found = compared(tmp_path, [12.0] * 5 + [1.0] * 30 + [20.0] * 30, "w" * 3 + "c" * 32 + "w" * 30)
        assert found.accuracy.p_value == 1
        assert found.macro_f1.interval is not None
        assert found.macro_f1.interval[0] < 0 < found.macro_f1.interval[1]
        assert found.macro_f1.p_value > 0.5
        assert found.sentence().startswith(
            f"The difference between {tmp_path}/first and {tmp_path}/second may be luck: "
        )

    def test_one_row_of_a_rare_class_proves_nothing(self, tmp_path: Path) -> None:
        """It moves macro-F1 by a half, and the one row is in every draw of a bootstrap within classes."""
        found = compared(tmp_path, [12.0, *[1.0] * 40], "w" + "c" * 40)
        assert found.macro_f1.more < -0.4
        assert found.macro_f1.p_value == 1
        assert "may be luck" in found.sentence()

    def test_swapping_agrees_with_mcnemar(self, tmp_path: Path) -> None:
        """9 rows to 2 the first way: 2 (1 + 11 + 55) / 2048."""
        found = compared(tmp_path, [12.0] * 11 + [1.0] * 9 + [20.0] * 9, "w" * 9 + "c" * 11 + "w" * 9)
        assert found.accuracy.p_value == pytest.approx(134 / 2048)
        by_rows = swapped(found.first.answers, found.second.answers)(lambda one: one.accuracy)
        assert by_rows == pytest.approx(134 / 2048, abs=0.015)

    def test_the_rows_that_the_second_would_lose_stand_first(self, tmp_path: Path) -> None:
        found = compared(tmp_path, [12.0, 13.0, 14.0], "cwc")
        assert [one.line for one in found.examples] == [3, 2, 4]

    def test_models_that_agree(self, tmp_path: Path) -> None:
        found = compared(tmp_path, [1.0, 20.0], "cw")
        assert found.sentence() == f"{tmp_path}/first and {tmp_path}/second say the same of every row."

    def test_rows_of_few_experiments_prove_nothing(self, tmp_path: Path) -> None:
        """40 rows to none, which would be p < 0.0001, but all from four experiments."""
        values, labels = [12.0] * 40 + [1.0] * 40, "w" * 40 + "c" * 40
        found = compared(tmp_path, values, labels, list("pqrs") * 20)
        assert found.accuracy.p_value == pytest.approx(2 / 2**4, rel=0.2)  # all four lean to one side
        assert "may be luck" in found.sentence()
        many = compared(tmp_path, values, labels, [str(at % 20) for at in range(80)])
        assert many.accuracy.p_value < 0.001
        assert "by more than luck" in many.sentence()

    def test_classes_in_another_order_are_the_same_classes(self, tmp_path: Path) -> None:
        turned = make_bundle(
            tmp_path / "turned",
            classes=CLASSES[::-1],
            mean=[15],
            std=[10],
            layers=centre_layers(np.array([[1.0], [-1.0]])),
        )
        values, labels = [1.0, 12.0, 20.0], "cww"
        mine, its = judged(threshold(tmp_path / "m", 10), values, labels), judged(turned, values, labels)
        found = compare(mine, its, [LabelledRow(line, (0.0,), "") for line in range(2, 5)])
        assert found.right == {"both": 2, "only_first": 1, "only_second": 0, "neither": 0}

    def test_that_one_was_made_for_other_costs_is_said(self, tmp_path: Path) -> None:
        plain, costly = threshold(tmp_path / "p", 10), threshold(tmp_path / "c", 10, thresholds={"warm": 0.2})
        values, labels = [1.0, 12.0], "cw"
        rows = labelled(values, ["cold", "warm"])
        found = compare(judged(plain, values, labels), judged(costly, values, labels), rows)
        assert found.notes == [
            f"{costly.path} says 'warm' from a threshold on, as a miss costs more or less there than a false alarm; "
            "accuracy and macro-F1 do not weigh that, and the two models do not store the same thresholds."
        ]
        assert compare(judged(costly, values, labels), judged(costly, values, labels), rows).notes == []

    def test_other_classes_cannot_be_compared(self, tmp_path: Path) -> None:
        layers = centre_layers(np.array([[-1.0], [1.0]]))
        other = make_bundle(tmp_path / "o", classes=("cold", "hot"), mean=[10], std=[10], layers=layers)
        with pytest.raises(DataError, match="'hot', 'warm' only one of them"):
            compare(judged(threshold(tmp_path / "m", 10), [1.0], "c"), judged(other, [1.0], "c"), [])

    def test_names_are_escaped(self, tmp_path: Path) -> None:
        layers = centre_layers(np.array([[-1.0], [1.0]]))
        evil = ("<b>cold</b>", "<i>warm</i>")
        one, two = (
            make_bundle(tmp_path / f"<u>{at}", classes=evil, mean=[at], std=[10], layers=layers, names=["<x>"])
            for at in (10, 15)
        )
        rows = labelled([12.0, 1.0], [evil[1], evil[0]])
        found = [evaluate(one, Labelled(Path("<p>"), rows), scored="<s>") for one in (one, two)]
        html = comparison_page(compare(*found, rows), b"\x89PNG" + bytes(20))
        assert not re.search(r"<(b>c|i>w|u>|x>|s>|p>[^\w])", html)
        assert "&lt;i&gt;warm&lt;/i&gt;" in html


class TestRows:
    def rows(self, first: Bundle, second: Bundle, data: Path | None = None, **how: object) -> tuple[Labelled, Labelled]:
        return rows_for_both(first, second, data, **how)[:2]

    def test_the_rows_that_both_held_out(self, tmp_path: Path) -> None:
        first, second = threshold(tmp_path / "a", 10), threshold(tmp_path / "b", 15)
        mine, its = self.rows(first, second)
        assert [row.values for row in mine.rows] == [row.values for row in its.rows] == [(1,), (8,), (12,), (20,)]
        assert its.notes == ()

    def test_rows_that_the_other_was_trained_on_are_refused(self, tmp_path: Path) -> None:
        first, second = threshold(tmp_path / "a", 10), threshold(tmp_path / "b", 15, ROWS[1:])
        with pytest.raises(DataError, match=r"b was trained on rows that .*a held out") as caught:
            self.rows(first, second)
        assert "evaluate MODEL OTHER DATA.csv" in caught.value.remedy
        self.rows(second, first)  # the other way all is well

    def test_rows_that_the_other_may_know_are_refused(self, tmp_path: Path) -> None:
        first, second = threshold(tmp_path / "a", 10), threshold(tmp_path / "b", 15, (), data_sha256="1" * 64)
        with pytest.raises(DataError, match=r"b may have been trained on rows that .*a held out"):
            self.rows(first, second)
        with pytest.raises(DataError, match=r"b may have been trained on"):
            self.rows(second, first)  # the held-out rows are those of the only one that has any

    def test_a_file_for_the_edge_beside_its_directory_or_beside_one_of_the_same_split(self, tmp_path: Path) -> None:
        first, second = threshold(tmp_path / "a", 10), threshold(tmp_path / "b", 15)
        for bundle in (first, second):
            pack_bundle(bundle, tmp_path / "packed.ampedge")
            mine, its = self.rows(first, load_bundle(tmp_path / "packed.ampedge"))
            assert len(mine.rows) == len(its.rows) == 4
            with pytest.raises(DataError, match=r"Neither .* carries held-out rows"):
                self.rows(load_bundle(tmp_path / "packed.ampedge"), load_bundle(tmp_path / "packed.ampedge"))

    def test_a_table_that_one_held_out_is_scored_with_a_warning(self, tmp_path: Path) -> None:
        first, second = threshold(tmp_path / "a", 10), threshold(tmp_path / "b", 15, ROWS[1:])
        mine, its = self.rows(first, second, tmp_path / "a" / "heldout.csv")
        assert len(mine.rows) == len(its.rows) == 4
        [warning] = its.notes
        assert warning.startswith(f"Warning: {tmp_path}/b was trained on rows that {tmp_path}/a held out")

    def test_a_table_that_one_was_trained_on_is_scored_with_a_warning_that_names_it(self, tmp_path: Path) -> None:
        first, second = threshold(tmp_path / "a", 10), threshold(tmp_path / "b", 15)
        data = tmp_path / "more.csv"
        data.write_text((tmp_path / "a" / "heldout.csv").read_text() + "5,cold\n")
        mine, its = self.rows(first, second, data)
        assert mine.notes[0].startswith("Warning: all rows that were held out")
        assert len(its.rows) == 5

    def test_only_rows_that_both_can_use(self, tmp_path: Path) -> None:
        layers = centre_layers(np.array([[-1.0, 0.0], [1.0, 0.0]]))
        wide = make_bundle(tmp_path / "b", classes=CLASSES, mean=[15, 0], std=[10, 1], layers=layers)
        data = tmp_path / "data.csv"
        data.write_text("x0,x1,rig,status\n1,0,p,cold\n2,n/a,p,cold\nn/a,1,q,cold\n30,1,q,warm\n")
        mine, its = self.rows(threshold(tmp_path / "a", 10), wide, data, drop_bad_rows=True, group="rig")
        assert [(row.line, row.values, row.group) for row in mine.rows] == [(2, (1.0,), "p"), (5, (30.0,), "q")]
        assert [(row.line, row.values) for row in its.rows] == [(2, (1.0, 0.0)), (5, (30.0, 1.0))]
        other = make_bundle(
            tmp_path / "c", classes=CLASSES, mean=[1], std=[1], layers=centre_layers(np.eye(2)[:, :1]), names=["x1"]
        )
        data.write_text("x0,x1,status\n2,n/a,cold\nn/a,1,cold\n")
        with pytest.raises(DataError, match="no row that both can use"):
            self.rows(threshold(tmp_path / "a", 10), other, data, drop_bad_rows=True)

    def test_held_out_rows_that_the_other_cannot_read(self, tmp_path: Path) -> None:
        layers = centre_layers(np.array([[-1.0, 0.0], [1.0, 0.0]]))
        wide = [([*values, 1.0], label) for values, label in ROWS]
        other = make_bundle(tmp_path / "b", classes=CLASSES, mean=[15, 0], std=[10, 1], layers=layers, rows=wide)
        with pytest.raises(DataError, match="lacks 'x1'") as caught:
            self.rows(threshold(tmp_path / "a", 10), other)
        assert "DATA.csv" in caught.value.remedy
        mine, its = self.rows(other, threshold(tmp_path / "a", 10))  # the other way all is well
        assert [len(row.values) for row in (mine.rows[0], its.rows[0])] == [2, 1]


class TestCommand:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        rows = [*ROWS, *[([12.0], "warm")] * 16]
        threshold(tmp_path / "old", 10, rows)
        threshold(tmp_path / "new", 15, rows)

    def run(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["evaluate", *arguments], env={"COLUMNS": "100"})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    def test_end_to_end(self, tmp_path: Path) -> None:
        shown = self.run("old", "new")
        assert shown.startswith("new is worse in accuracy and macro-F1 than old, by more than luck: accuracy -0.850")
        assert (
            "Scored on the held-out rows of data.csv, which training never saw (20 rows), the same for both." in shown
        )
        assert re.search(r"^F1 of warm +1.000 \(0.90-1.00\) +0.105 \(0.02-0.41\)", shown, re.MULTILINE)
        assert "Right: both 3, only old 17, only new 0, neither 0. They say different things of 17 rows." in shown
        assert re.search(r"^4 +warm +warm +cold", shown, re.MULTILINE)
        assert sorted(file.name for file in (tmp_path / "evaluation").iterdir()) == [
            "f1.png",
            "report.html",
            "report.json",
        ]
        html = (tmp_path / "evaluation" / "report.html").read_text()
        assert not re.search(r"https?:|url\(|@import|<script|<link", html)
        assert "new is worse in accuracy and macro-F1 than old" in html
        self.run("new")  # a report of one model takes the place of one of two
        assert not (tmp_path / "evaluation" / "f1.png").exists()

    def test_json_is_the_document_of_the_report(self) -> None:
        printed = json.loads(self.run("old", "new", "--json"))
        assert printed == json.loads(Path("evaluation/report.json").read_text())
        assert next(iter(printed)) == "verdict"
        assert [one["model"]["path"] for one in printed["models"]] == ["old", "new"]
        assert printed["right"] == {"both": 3, "only_first": 17, "only_second": 0, "neither": 0}
        assert printed["accuracy"]["beyond_luck"] is True
        assert printed["differing"]["examples"][0]["got"] == ["warm", "cold"]

    def test_a_table_and_the_options_for_it(self) -> None:
        Path("t.csv").write_text("x0;rig;state\n0,5;p;cold\n12,5;q;warm\n-;q;warm\n")
        how = ("--label", "state", "--sep", ";", "--decimal", ",", "--drop-bad-rows", "--group", "rig", "--json")
        printed = json.loads(self.run("old", "t.csv", "new", *how))
        assert (printed["rows"], printed["scored"]) == (2, "all rows of t.csv")
        assert all("whole groups" in one["intervals"]["method"] for one in printed["models"])

    def test_one_model_as_an_argument(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ampedge.training.judging.report.curves_png", lambda _: b"\x89PNG" + bytes(20))
        assert json.loads(self.run("new", "--json"))["model"]["path"] == "new"
        Path("t.csv").write_text("x0,status\n0,cold\n")
        assert json.loads(self.run("t.csv", "new", "--json"))["rows"] == 1

    def test_a_limit_is_for_one_model(self) -> None:
        with pytest.raises(UsageError, match="a limit for one model"):
            self.run("old", "new", "--min-macro-f1", "0.5")

    def test_models_and_tables_are_told_apart_by_what_they_are(self, tmp_path: Path) -> None:
        pack_bundle(load_bundle(tmp_path / "old"), tmp_path / "data.csv")
        Path("table.csv").write_text("x0,status\n")
        old, packed, plain = Path("old"), Path("data.csv"), Path("table.csv")
        assert told_apart([old, plain, packed], None) == ([old, packed], plain)
        assert told_apart([Path("gone.ampedge"), Path("gone")], None) == ([Path("gone.ampedge")], Path("gone"))
        assert told_apart([], "old") == ([], None)
        for given, model, said in (
            ([plain, Path("other.csv")], None, "two tables"),
            ([old, packed, old], None, "3 models"),
            ([old], "new", "both name the model"),
        ):
            with pytest.raises(UsageError, match=said):
                told_apart(given, model)
