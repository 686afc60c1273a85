"""`ampedge evaluate`: figures from the serving pipeline, honest about what was scored, in a report that travels."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.datamap import DataMap, Tag
from ampedge.errors import DataError, GateError, InUseError, ModelRefusedError, UsageError
from ampedge.model.bundle import HELD_OUT, Bundle, load_bundle, pack_bundle
from ampedge.table import read_table
from ampedge.training.judging.confusion_picture import confusion_png
from ampedge.training.judging.evaluation import Evaluation, evaluate
from ampedge.training.judging.judged_rows import rows_for_both, rows_to_score
from ampedge.training.judging.report import CALIBRATION, CONFUSION, CURVES, report, write_report
from ampedge.training.metrics import confusion, scores
from ampedge.training.rows.labelled import labelled_rows
from tests.support.bundles import centre_layers, make_bundle, table_text
from tests.support.cli import run_cli

CLASSES = ("cold", "warm")
BLANK = dict.fromkeys((CONFUSION, CURVES, CALIBRATION), b"\x89PNG" + bytes(20))
ROWS = [([0.0, 1.0], "cold"), ([1.0, 1.0], "cold"), ([19.0, 1.0], "warm"), ([2.0, 1.0], "warm")]
"""By the nearest centre, 0 or 20: right, right, right, and a warm row that looks cold."""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Two classes about x0 = 0 and x0 = 20; x1 says nothing."""
    return tiny(tmp_path / "model")


def tiny(place: Path, rows: Sequence[tuple[Sequence[float], str]] = ROWS, **further: object) -> Bundle:
    layers = centre_layers(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    return make_bundle(place, classes=CLASSES, mean=[10, 0], std=[10, 1], layers=layers, rows=rows, **further)


def scored(bundle: Bundle, **settings: object) -> Evaluation:
    rows, what = rows_to_score(bundle, None)
    return evaluate(bundle, rows, scored=what, **settings)


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


class TestFigures:
    def test_scores_worked_by_hand(self) -> None:
        """a: 1 of 2 found, 1 of 1 right; b: 2 of 2 found, 2 of 3 right; c: missed, as it was not asked about."""
        found = scores(["a", "a", "b", "b", "c"], ["a", "b", "b", "b", None], ["a", "b", "c", "d"])
        assert found["accuracy"] == pytest.approx(3 / 5)
        assert found["per_class"]["a"] == pytest.approx({"precision": 1, "recall": 1 / 2, "f1": 2 / 3, "support": 2})
        assert found["per_class"]["b"] == pytest.approx({"precision": 2 / 3, "recall": 1, "f1": 4 / 5, "support": 2})
        assert found["per_class"]["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
        assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)  # d does not occur

    def test_confusion_counts_rows_not_asked_apart(self) -> None:
        counts = confusion(["a", "a", "b"], ["b", None, "b"], ["a", "b"])
        assert counts == [[0, 1, 1], [0, 1, 0]]

    def test_an_evaluation_worked_by_hand(self, bundle: Bundle) -> None:
        found = scored(bundle)
        assert found.scores["accuracy"] == 3 / 4
        assert found.confusion == [[2, 0, 0], [1, 1, 0]]
        assert found.scores["per_class"]["warm"]["recall"] == 1 / 2
        assert found.scores["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
        assert found.baseline == {"class": "cold", "accuracy": 1 / 2, "macro_f1": pytest.approx(1 / 3)}
        assert found.published == {"right": 3, "wrong": 1, "unknown": 0}
        assert found.mistakes() == [(1, "warm", "cold")]

    def test_values_go_through_the_registers(self, bundle: Bundle) -> None:
        """14 is nearer to warm, but a register of whole tens brings it as 10, which comes out as cold."""
        coarse = DataMap((Tag("x0", 0, type="int16", scale=10), Tag("x1", 7)))
        rows = labelled_rows(
            read_table(table(bundle.path.parent, "x0,x1,status\n14.0,1,cold\n16.0,1,warm\n")), bundle, label="status"
        )
        assert evaluate(bundle, rows, scored="", datamap=None).scores["accuracy"] == 1 / 2
        found = evaluate(bundle, rows, scored="", datamap=coarse, min_confidence=0)
        assert found.confusion == [[1, 0, 0], [0, 1, 0]]  # 14 became 10, 16 became 20

    def test_the_published_label_is_counted_apart_from_the_class(self, tmp_path: Path) -> None:
        """Row by row: right; far outside training; impossible; too near the border to say."""
        rows = [([0.0, 1.0], "cold"), ([0.0, 9.0], "cold"), ([99.0, 1.0], "warm"), ([10.1, 1.0], "warm")]
        site = DataMap((Tag("x1", 4), Tag("x0", 0, valid=(-50, 50))))
        found = scored(tiny(tmp_path / "m", rows), datamap=site, min_confidence=0.6)
        assert found.published == {"right": 1, "wrong": 0, "unknown": 3}
        assert found.unknown_reasons == {"x1: outside_training": 1, "x0: out_of_range": 1, "low_confidence": 1}
        assert found.not_asked == 1
        assert found.not_asked_reasons == {"x0: out_of_range": 1}
        assert found.confusion == [[2, 0, 0], [0, 1, 1]]
        assert found.scores["accuracy"] == 3 / 4

    def test_a_class_without_rows_is_noted_and_left_out_of_the_mean(self, tmp_path: Path) -> None:
        found = scored(tiny(tmp_path / "m", [([0.0, 1.0], "cold")]))
        assert found.scores["macro_f1"] == 1
        assert found.notes == ("No row is labelled 'warm'; macro-F1 is the mean over the other classes.",)

    def test_rows_not_asked_about_are_missed_and_it_is_said(self, tmp_path: Path) -> None:
        rows = [([0.0, 1.0], "cold"), ([99.0, 1.0], "warm"), ([20.0, 1.0], "warm")]
        found = scored(tiny(tmp_path / "m", rows), datamap=DataMap((Tag("x0", 0, valid=(-50, 50)), Tag("x1", 4))))
        assert found.notes == (
            "1 row has a value of bad quality, about which the model is not asked: missed in every figure, and left "
            "out of the curves and the calibration, which need probabilities.",
        )
        assert found.scores["per_class"]["warm"]["recall"] == 1 / 2
        assert found.calibration is not None
        assert found.calibration.accuracy == 1
        assert found.wrong == 0

    def test_the_worst_mistakes_are_rows_of_the_file(self, bundle: Bundle) -> None:
        [worst] = scored(bundle).document()["mistakes"]["worst"]
        assert worst.pop("confidence") == pytest.approx(1 / (1 + np.exp(-3.2)), rel=1e-4)
        assert worst == {
            "line": 5,
            "values": {"x0": 2.0, "x1": 1.0},
            "expected": "warm",
            "got": "cold",
            "published": "cold",
        }

    def test_a_map_of_other_tags_is_refused(self, bundle: Bundle) -> None:
        with pytest.raises(ModelRefusedError, match="'x0'"):
            scored(bundle, datamap=DataMap((Tag("x9", 0), Tag("x1", 2))))


class TestWhatIsScored:
    def test_without_a_table_the_held_out_rows(self, bundle: Bundle) -> None:
        rows, what = rows_to_score(bundle, None)
        assert [row.label for row in rows.rows] == ["cold", "cold", "warm", "warm"]
        assert "held-out rows of data.csv" in what

    def test_the_training_table_means_its_held_out_rows(self, tmp_path: Path) -> None:
        text = table_text(["x0", "x1"], [*ROWS, *ROWS, *ROWS])
        bundle = tiny(tmp_path / "model", data_sha256=hashlib.sha256(text.encode()).hexdigest())
        rows, what = rows_to_score(bundle, table(tmp_path, text))
        assert len(rows.rows) == 4
        assert "held-out" in what

    def test_by_another_label_all_rows_of_the_training_table(self, tmp_path: Path) -> None:
        """Held-out rows have the label of the training, and no other."""
        text = table_text(["x0", "x1"], ROWS).replace("status", "status,state")
        text = re.sub(r"(cold|warm)$", r"\1,cold", text, flags=re.MULTILINE)
        bundle = tiny(tmp_path / "model", data_sha256=hashlib.sha256(text.encode()).hexdigest())
        rows, what = rows_to_score(bundle, table(tmp_path, text), label="state")
        assert [row.label for row in rows.rows] == ["cold"] * 4
        assert "all rows" in what
        assert any("was trained on most of these rows" in note for note in rows.notes)
        first, second, _ = rows_for_both(bundle, bundle, table(tmp_path, text), label="state")
        assert [row.label for row in (*first.rows, *second.rows)] == ["cold"] * 8
        for judge in (rows_to_score, partial(rows_for_both, bundle)):
            with pytest.raises(DataError, match="labelled by 'status', not by 'state'"):
                judge(bundle, None, label="state")

    def test_an_ampedge_file_carries_none(self, bundle: Bundle, tmp_path: Path) -> None:
        pack_bundle(bundle, tmp_path / "one.ampedge")
        with pytest.raises(DataError, match="no held-out rows") as caught:
            rows_to_score(load_bundle(tmp_path / "one.ampedge"), None)
        assert "DATA.csv" in caught.value.remedy

    def test_the_training_table_without_held_out_rows_is_scored_with_a_warning(self, tmp_path: Path) -> None:
        text = table_text(["x0", "x1"], ROWS)
        bundle = tiny(tmp_path / "model", rows=(), data_sha256=hashlib.sha256(text.encode()).hexdigest())
        rows, what = rows_to_score(bundle, table(tmp_path, text))
        assert len(rows.rows) == 4
        found = evaluate(bundle, rows, scored=what)
        assert "Warning: the model was trained on most of these rows" in report(found, BLANK)

    def test_the_training_table_with_rows_added_is_scored_with_a_warning(self, bundle: Bundle, tmp_path: Path) -> None:
        held_out = table_text(["x0", "x1"], ROWS)
        for text, warnings in ((held_out, 0), (held_out + "3,1,cold\n", 1), (held_out.replace("19", "18"), 0)):
            rows, _ = rows_to_score(bundle, table(tmp_path, text))
            assert sum("the figures flatter it" in note for note in rows.notes) == warnings

    def test_another_table_is_scored_whole(self, bundle: Bundle, tmp_path: Path) -> None:
        """Its columns stand in another order, beside one that the model does not know."""
        text = "note,status,x1,x0\nfirst,warm,1,20\nsecond,cold,1,0\n"
        rows, what = rows_to_score(bundle, table(tmp_path, text))
        assert [row.values for row in rows.rows] == [(20.0, 1.0), (0.0, 1.0)]
        assert "all rows" in what

    def test_the_published_form_of_samples_is_read(self, bundle: Bundle, tmp_path: Path) -> None:
        text = 'status,x0 (float),"x0 [reg0, reg1]",x1 (float),"x1 [reg2, reg3]"\nwarm,20,"(0, 0)",1,"(0, 0)"\n'
        rows, _ = rows_to_score(bundle, table(tmp_path, text))
        assert rows.rows[0].values == (20.0, 1.0)

    def test_altered_held_out_rows_are_refused(self, bundle: Bundle) -> None:
        file = bundle.path / HELD_OUT
        file.write_text(file.read_text().replace("19.0", "0.0"))
        with pytest.raises(ModelRefusedError, match="altered"):
            rows_to_score(bundle, None)


class TestBadTables:
    def test_missing_columns_are_shown_with_their_nearest_match(self, bundle: Bundle, tmp_path: Path) -> None:
        path = table(tmp_path, "X0,temperature,state\n1,2,cold\n")
        with pytest.raises(DataError) as caught:
            rows_to_score(bundle, path)
        assert "lacks 'x0' (did you mean 'X0'?), 'x1', 'status'" in caught.value.problem
        assert "'temperature'" in caught.value.problem

    @pytest.mark.parametrize("cell", ["n/a", "nan", "inf", "1e999", ""])
    def test_a_cell_that_is_no_number_is_named(self, bundle: Bundle, tmp_path: Path, cell: str) -> None:
        path = table(tmp_path, f"x0,x1,status\n1,1,cold\n2,{cell},cold\n")
        what = f"{cell!r} is not a number" if cell else "the cell is empty"
        with pytest.raises(DataError, match=re.escape(f"line 3, column 'x1': {what}")):
            rows_to_score(bundle, path)

    def test_bad_rows_are_dropped_and_counted_on_request(self, bundle: Bundle, tmp_path: Path) -> None:
        path = table(tmp_path, "x0,x1,status\n1,1,cold\n2,-,cold\n3,1, \n")
        rows, _ = rows_to_score(bundle, path, drop_bad_rows=True)
        assert [row.line for row in rows.rows] == [2]
        assert any(note.startswith("2 of 3 rows dropped") for note in rows.notes)

    def test_no_usable_row(self, bundle: Bundle, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no usable row"):
            rows_to_score(bundle, table(tmp_path, "x0,x1,status\n-,1,cold\n"), drop_bad_rows=True)

    def test_labels_that_the_model_does_not_know_are_all_named(self, bundle: Bundle, tmp_path: Path) -> None:
        path = table(tmp_path, "x0,x1,status\n1,1,hot\n1,1,hot\n1,1,frozen\n1,1,cold\n")
        with pytest.raises(DataError, match=r"'hot' \(2 rows\), 'frozen' \(1 rows\)") as caught:
            rows_to_score(bundle, path)
        assert "cold, warm" in caught.value.remedy

    def test_spellings_of_a_label_are_one_label(self, bundle: Bundle, tmp_path: Path) -> None:
        rows, _ = rows_to_score(bundle, table(tmp_path, "x0,x1,status\n1,1,Cold \n1,1,WARM\n1,1,warm\n"))
        assert [row.label for row in rows.rows] == ["cold", "warm", "warm"]
        assert any(note.startswith("2 labels were spelled differently") for note in rows.notes)

    def test_a_value_that_does_not_fit_its_tag(self, bundle: Bundle, tmp_path: Path) -> None:
        rows, what = rows_to_score(bundle, table(tmp_path, "x0,x1,status\n1,1,cold\n1,40000,cold\n"))
        site = DataMap((Tag("x0", 0), Tag("x1", 2, type="int16")))
        with pytest.raises(DataError, match=r"line 3, column 'x1': 40000\.0 does not fit"):
            evaluate(bundle, rows, scored=what, datamap=site)


def with_metrics(bundle: Bundle, **f1: float) -> Bundle:
    """The bundle with figures of its training: of the network, and of baselines."""
    shares = {"precision": 0.8, "recall": 0.8, "f1": 0.8, "support": 100}
    test = {"accuracy": 0.8, "macro_f1": f1.pop("network"), "per_class": dict.fromkeys(CLASSES, shares)}
    simple = {name: {"accuracy": 0.5, "macro_f1": found} for name, found in f1.items()}
    manifest = bundle.manifest.model_copy(update={"metrics": {"test": test, "baselines": simple}})
    return replace(bundle, manifest=manifest)


class TestBesideOthers:
    def test_on_the_held_out_rows_with_the_figures_of_the_evaluation(self, bundle: Bundle) -> None:
        """Its macro-F1 here is 0.733; 0.8 is what training had."""
        full = with_metrics(bundle, network=0.8, majority_class=0.1, logistic_regression=0.2, random_forest=0.9)
        found = scored(full)
        assert found.rivals is not None
        assert found.rivals.title == "On the same rows"
        assert {name: one["macro_f1"] for name, one in found.rivals.figures.items()} == {
            "network": pytest.approx(0.7333, abs=1e-4),
            "random_forest": 0.9,
            "logistic_regression": 0.2,
            "majority_class": 0.1,
        }
        assert found.verdict == [
            "The network earns its place: macro-F1 0.733 against 0.200 of the logistic regression."
        ]
        assert "random forest</td><td>0.500</td><td>0.900" in report(found, BLANK)

    def test_on_another_table_those_of_training_and_it_is_said(self, bundle: Bundle, tmp_path: Path) -> None:
        full = with_metrics(bundle, network=0.6, majority_class=0.1, logistic_regression=0.2, random_forest=0.9)
        rows, what = rows_to_score(full, table(tmp_path, "x0,x1,status\n1,1,cold\n"))
        found = evaluate(full, rows, scored=what)
        assert found.rivals is not None
        assert found.rivals.title == "On the rows that its training held out, not on these"
        assert found.document()["baselines"]["same_rows"] is False
        assert found.document()["baselines"]["network"]["macro_f1"] == 0.6
        assert found.verdict == [
            f"On the rows that its training held out: {said}"
            for said in (
                "The network earns its place: macro-F1 0.600 against 0.200 of the logistic regression.",
                "A random forest is better on the same rows: macro-F1 0.900 against 0.600. There is more in these "
                "columns than this network has learned; --sweep or more --epochs may find it.",
            )
        ]

    def test_a_bundle_from_before_there_was_a_forest(self, bundle: Bundle) -> None:
        found = scored(with_metrics(bundle, network=0.8, majority_class=0.1, logistic_regression=0.2))
        assert found.rivals is not None
        assert list(found.rivals.figures) == ["network", "logistic_regression", "majority_class"]
        assert scored(bundle).rivals is None


class TestReport:
    def test_its_files_and_that_the_page_needs_no_network(self, bundle: Bundle, tmp_path: Path) -> None:
        found = scored(bundle)
        write_report(found, tmp_path / "report")
        drawn = ["calibration.png", "confusion_matrix.png", "curves.png"]
        assert sorted(file.name for file in (tmp_path / "report").iterdir()) == [*drawn, "report.html", "report.json"]
        assert all((tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG") for name in drawn)
        assert json.loads((tmp_path / "report" / "report.json").read_text()) == json.loads(json.dumps(found.document()))
        html = (tmp_path / "report" / "report.html").read_text()
        assert not re.search(r"https?:|url\(|@import|<script|<link", html)
        assert re.findall(r'src="([^,"]*)', html) == ["data:image/png;base64"] * 3
        assert "held-out rows of data.csv" in html
        assert "0.750" in html
        assert "1 of 2 <q>warm</q> rows were called <q>cold</q>" in html

    def test_the_name_of_a_table_may_be_no_text(self, bundle: Bundle, tmp_path: Path) -> None:
        path = tmp_path / os.fsdecode(b"runs\xff.csv")
        path.write_text("x0,x1,status\n0,1,cold\n20,1,warm\n0,1,warm\n")
        rows, what = rows_to_score(bundle, path)
        write_report(evaluate(bundle, rows, scored=what), tmp_path / "report")
        document = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
        assert document["mistakes"]["file"] == str(path)
        assert "runs\\udcff.csv" in (tmp_path / "report" / "report.html").read_text("utf-8")

    def test_names_are_escaped(self, tmp_path: Path) -> None:
        evil = "<script>alert('&')</script>"
        layers = centre_layers(np.array([[-1.0], [1.0]]))
        rows = [([0.0], evil), ([20.0], evil), ([20.0], "b")]
        made = make_bundle(
            tmp_path / "m",
            classes=[evil, "b"],
            mean=[10],
            std=[10],
            layers=layers,
            rows=rows,
            names=["<x>"],
            name="<i>model</i>",
        )
        found = scored(made)
        html = report(found, BLANK)
        assert not re.search(r"<script|<x>|<i>model", html)
        assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in html
        assert "&lt;x&gt;" in html

    @pytest.mark.usefixtures("undrawn")
    def test_a_report_is_replaced_but_nothing_else(self, bundle: Bundle, tmp_path: Path) -> None:
        out = tmp_path / "report"
        write_report(scored(bundle), out)
        write_report(scored(bundle), out)
        (out / "mine.txt").write_text("kept")
        with pytest.raises(InUseError, match=r"mine\.txt"):
            write_report(scored(bundle), out)
        assert (out / "mine.txt").read_text() == "kept"
        (tmp_path / "file").write_text("kept")
        with pytest.raises(InUseError, match="no directory"):
            write_report(scored(bundle), tmp_path / "file")
        with pytest.raises(UsageError, match="cannot be written"):
            write_report(scored(bundle), tmp_path / "file" / "below")

    @pytest.mark.parametrize("classes", [2, 13, 30])
    def test_the_picture_takes_any_number_and_any_name_of_classes(self, classes: int) -> None:
        names = ["$broken", "日本" * 30, *map(str, range(classes))][:classes]
        plain = confusion_png(np.eye(classes, classes + 1, dtype=int).tolist(), names)
        wider = confusion_png(np.eye(classes, classes + 1, k=1, dtype=int).tolist(), names)
        assert plain.startswith(b"\x89PNG")
        assert png_width(wider) > png_width(plain)  # by the column of the rows not asked


def png_width(data: bytes) -> int:
    return int.from_bytes(data[16:20], "big")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports with empty pictures: drawing takes most of the time of a small evaluation."""
    monkeypatch.setattr("ampedge.training.judging.report.pictures", lambda _: BLANK)


class TestCommand:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Bundle, undrawn: None) -> None:
        monkeypatch.chdir(tmp_path)

    def run(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["evaluate", *arguments], env={"COLUMNS": "100"})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    def test_end_to_end_with_a_gate(self, tmp_path: Path) -> None:
        """In a process of its own, with TensorFlow out of reach."""
        blocker = tmp_path / "blocked" / "sitecustomize.py"
        blocker.parent.mkdir()
        blocker.write_text("import sys\nfor name in ('tensorflow', 'keras'): sys.modules[name] = None\n")
        path = os.pathsep.join([str(blocker.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = run_cli("evaluate", "--min-macro-f1", "0.9", cwd=tmp_path, env={"PYTHONPATH": path})
        assert done.returncode == 6, done.stderr
        assert "Using model (found here)." in done.stderr
        assert "Macro-F1 is 0.7333, below the limit of 0.9." in done.stderr
        assert "Traceback" not in done.stderr
        assert re.search(r"this model +0.750 \(0.30-0.95\) +0.733 \(0.33-1.00\)\n", done.stdout)
        assert re.search(r"always 'cold' +0.500 +0.333 *\n", done.stdout)
        assert re.search(
            r"warm .* 1.000 \(0.21-1.00\) +0.500 \(0.09-0.91\) +0.667 \(.*\) +1.000 +1.000 +2", done.stdout
        )
        assert re.search(r"^5 +warm +cold +96\.0% +x0 2, x1 1", done.stdout, re.MULTILINE)
        assert re.search(r"Expected calibration error 0\.\d{3} \(15 bins\)", done.stdout)
        assert re.search(r"warm +1 +1\n", done.stdout)
        assert "3 right, 1 wrong, 0 unknown" in done.stdout
        document = json.loads((tmp_path / "evaluation" / "report.json").read_text())
        assert (document["min_macro_f1"], document["passed"]) == (0.9, False)
        assert "not met" in (tmp_path / "evaluation" / "report.html").read_text()

    def test_a_gate_that_is_met_and_one_that_is_not(self) -> None:
        self.run("--min-macro-f1", "0.7")
        with pytest.raises(GateError):
            self.run("--min-macro-f1", "0.8")

    def test_json_is_the_document_of_the_report(self) -> None:
        printed = json.loads(self.run("--json", "--out", "elsewhere"))
        assert printed == json.loads(Path("elsewhere/report.json").read_text())
        assert printed["confusion"] == [[2, 0], [1, 1]]

    def test_options_of_the_table(self) -> None:
        Path("t.csv").write_text("x0|x1|state\n0,5|1|cold\n-|1|cold\n")
        printed = self.run(
            "t.csv", "--label", "state", "--sep", "|", "--decimal", ",", "--drop-bad-rows", "--json", "--model", "model"
        )
        assert json.loads(printed)["rows"] == 1
        with pytest.raises(DataError, match="'status'"):
            self.run("t.csv", "--drop-bad-rows")
        with pytest.raises(DataError, match="not a number"):
            self.run("t.csv", "--label", "state")

    def test_what_must_not_be_missed_stands_before_everything_else(self, tmp_path: Path) -> None:
        rows = [*[([0.0, 1.0], "cold")] * 19, ([1.0, 1.0], "warm")]
        tiny(tmp_path / "model", rows)
        cautions = [
            "Accuracy misleads here: always answering the commonest class reaches 0.950, this model 0.950; macro-F1, "
            "in which every class counts the same, is 0.487.",
            "It recognised no row of 'warm': never rely on it there. More rows of such a class help, or "
            "--weights balanced, at the price of false alarms.",
        ]
        assert self.run().splitlines()[:2] == cautions
        document = json.loads(self.run("--json"))
        assert next(iter(document)) == "verdict"
        assert document["verdict"] == cautions
        html = (tmp_path / "evaluation" / "report.html").read_text()
        assert re.search(r"</h1>\s*<p class=\"warning\">Accuracy misleads here", html)

    def test_a_class_that_was_not_asked_about_is_not_said_to_be_unrecognised(self, tmp_path: Path) -> None:
        tiny(tmp_path / "model", [*[([0.0, 1.0], "cold")] * 3, *[([0.0, 0.0], "warm")] * 2])
        assert json.loads(self.run("--json"))["verdict"][1:] == [
            "The model was asked about no row of 'warm': each has a value of bad quality, to which serve gives no "
            "class, whatever the model has learned."
        ]

    def test_each_group_is_judged_by_itself(self, tmp_path: Path) -> None:
        (tmp_path / "runs.csv").write_text(
            "rig,x0,x1,status\n<one>,0,1,cold\n<one>,20,1,warm\ntwo,0,1,cold\ntwo,1,1,warm\n"
        )
        shown = self.run("runs.csv", "--group", "rig")
        assert "2 groups judged apart: mean macro-F1 0.667, median 0.667, from 0.333 (two) to 1.000." in shown
        assert re.search(r"two +2 +2 +0.500 +0.333\n<one> +2 +2 +1.000 +1.000", shown)
        assert "There are only 2 groups" in shown
        assert "<td>&lt;one&gt;</td>" in (tmp_path / "evaluation" / "report.html").read_text()
        document = json.loads(self.run("runs.csv", "--group", "rig", "--json"))
        assert [(one["name"], one["macro_f1"]) for one in document["groups"]["each"]] == [
            ("two", pytest.approx(1 / 3)),
            ("<one>", 1),
        ]
        assert document["groups"]["unseen"] is None
        assert json.loads(self.run("runs.csv", "--json"))["groups"] is None
        with pytest.raises(DataError, match="'lab'"):
            self.run("runs.csv", "--group", "lab")
        with pytest.raises(DataError, match="do not say what they belong to in 'rig'"):
            self.run("--group", "rig")
        (tmp_path / "runs.csv").write_text("rig,x0,x1,status\n,0,1,cold\n")
        with pytest.raises(DataError, match=r"line 2, column 'rig': there is no group"):
            self.run("runs.csv", "--group", "rig")

    @pytest.mark.parametrize("option", ["--sep=,", "--decimal=.", "--drop-bad-rows"])
    def test_how_a_table_is_read_needs_a_table(self, option: str) -> None:
        with pytest.raises(UsageError, match=f"{option.partition('=')[0]} says how a table is read"):
            self.run(option)

    def test_the_config_gives_the_map_and_the_threshold(self) -> None:
        Path("site.toml").write_text(
            '[decision]\nmin_confidence = 0.99\n[[tags]]\nname = "x1"\naddress = 10\n'
            '[[tags]]\nname = "x0"\naddress = 2\ntype = "int16"\nvalid = [0, 18]\n'
        )
        printed = json.loads(self.run("--config", "site.toml", "--json"))
        assert printed["not_asked"] == {"rows": 1, "reasons": {"x0: out_of_range": 1}}
        assert printed["published"]["unknown_reasons"]["low_confidence"] == 3
        assert printed["published"]["min_confidence"] == 0.99

    def test_names_too_long_for_the_terminal_are_numbered(self, tmp_path: Path) -> None:
        names = [f"{i} {'long ' * 12}" for i in range(6)]
        layers = centre_layers(np.array([[i - 2.5] for i in range(6)]))
        make_bundle(tmp_path / "wide", classes=names, mean=[0], std=[1], layers=layers, rows=[([-2.5], names[0])])
        shown = self.run("--model", "wide")
        assert re.search(r"^class +1 +2 +3 +4 +5 +6$", shown, re.MULTILINE)
        assert re.search(r"^1 0 long .* 1 +0 +0 +0 +0 +0$", shown, re.MULTILINE)

    def test_a_terminal_wraps_at_words_and_without_one_nothing_is_cut(self, tmp_path: Path) -> None:
        name, unit = "valve_closing_slowly", np.eye(8)[1].tolist()
        layers = centre_layers(np.eye(8)[:2])
        rows = [(unit, name), (unit, "b")]
        make_bundle(tmp_path / "wide", classes=[name, "b"], mean=[0] * 8, std=[1] * 8, layers=layers, rows=rows)
        whole, on_terminal = (
            re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(app, ["evaluate", "--model", "wide"], env=env).stdout)
            for env in ({"COLUMNS": None}, {"COLUMNS": "70", "FORCE_COLOR": "1"})
        )
        assert re.search(rf"^2 +{name} +b .* x6 0, x7 0 *$", whole, re.MULTILINE)
        assert "macro-F1. They take every row to be independent of the others.\n" in whole
        assert max(map(len, on_terminal.splitlines())) <= 70
        assert "macro-F1. They take every\nrow" in re.sub(" +\n", "\n", on_terminal)
        assert "…" not in on_terminal[: on_terminal.index("Confusion matrix")]
