"""The figures of an evaluation beyond the scores: intervals, curves, calibration, groups; worked out by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampedge.records import Frame, Record
from ampedge.training.judging.answers import Answers
from ampedge.training.judging.curves import curves
from ampedge.training.judging.curves_picture import curves_png
from ampedge.training.judging.groups import groups
from ampedge.training.judging.intervals import figure, intervals, wilson
from ampedge.training.judging.outcomes import outcomes
from ampedge.training.judging.reliability import Calibration, calibration
from ampedge.training.judging.reliability_picture import calibration_png
from ampedge.training.judging.resampling import drawn, interval
from ampedge.training.judging.tallies import figured, kinds
from ampedge.training.judging.worst import Worst, described
from ampedge.training.metrics import confusion, scores
from ampedge.training.rows.labelled_row import LabelledRow

NOBODY = np.empty((0, 0))


def answered(
    truth: Sequence[int], said: Sequence[int], *, classes: int = 2, named: Sequence[str] | None = None
) -> Answers:
    names = tuple("abcdefghij"[:classes])
    return Answers(names, np.array(truth), np.array(said), NOBODY, None if named is None else tuple(named))


def sure(truth: Sequence[int], probabilities: Sequence[Sequence[float]]) -> Answers:
    found = np.array(probabilities, dtype=float)
    asked = np.isfinite(found).all(axis=1)
    said = np.where(asked, np.nan_to_num(found).argmax(axis=1), -1)
    return Answers(tuple("abcdefghij"[: found.shape[1]]), np.array(truth), said, found)


def table(one: Answers) -> list[list[int]]:
    names = (*one.classes, None)
    return confusion([names[at] for at in one.truth], [names[at] for at in one.said], one.classes)


class TestIntervals:
    @pytest.mark.parametrize(
        ("hits", "rows", "between"),
        [(8, 10, (0.4902, 0.9433)), (0, 6, (0.0, 0.3903)), (6, 6, (0.6097, 1.0)), (1, 1, (0.2065, 1.0))],
    )
    def test_wilson(self, hits: int, rows: int, between: tuple[float, float]) -> None:
        """z = 1.95996: of 0 in 6, z^2 / (6 + z^2) = 3.8415 / 9.8415."""
        assert wilson(hits, rows) == pytest.approx(between, abs=5e-5)
        assert wilson(0, 0) is None

    def test_f1_follows_from_the_share_of_hits_among_hits_and_mistakes(self) -> None:
        """Of a: 8 found, 2 missed, 2 false alarms: F1 0.8 of the share 8/12, whose interval is 0.3906 to 0.8619."""
        one = answered([0] * 10 + [1] * 10, [0] * 8 + [1] * 2 + [0] * 2 + [1] * 8)
        found = intervals(one, table(one)).per_class["a"]
        assert wilson(8, 12) == pytest.approx((0.3906, 0.8619), abs=5e-5)
        assert found["f1"] == pytest.approx((2 * 0.3906 / 1.3906, 2 * 0.8619 / 1.8619), abs=1e-4)
        assert found["precision"] == found["recall"] == wilson(8, 10)

    def test_no_interval_where_nothing_is_known(self) -> None:
        one = answered([0, 0, 1], [0, 0, 1], classes=3)
        found = intervals(one, table(one))
        assert found.macro_f1 is None  # without a mistake the draws show nothing
        assert found.accuracy == wilson(3, 3)
        assert found.per_class["c"] == {"precision": None, "recall": None, "f1": None}

    def test_the_bootstrap_keeps_the_classes_and_spreads_as_theory_says(self) -> None:
        """Of 100 rows of a 80 are right, of 25 of b 15: the variance is (100 x 0.16 + 25 x 0.24) / 125^2."""
        one = answered([0] * 100 + [1] * 25, [0] * 80 + [1] * 20 + [1] * 15 + [0] * 10)
        [draws] = drawn(one)
        assert draws.accuracy.std() == pytest.approx(22**0.5 / 125, rel=0.05)
        assert draws.recall[:, 1].std() == pytest.approx((0.24 / 25) ** 0.5, rel=0.05)
        assert draws.accuracy.mean() == pytest.approx(95 / 125, abs=0.003)
        assert (drawn(one)[0].macro_f1 == draws.macro_f1).all()  # the same each time

    def test_rows_of_one_group_are_no_independent_witnesses(self) -> None:
        """20 experiments of 50 rows, each all right or all wrong: the accuracy varies as that of 20 rows."""
        said = np.repeat([0, 1] * 10, 50)
        one = answered([0] * 1000, said.tolist(), named=[str(at) for at in np.repeat(range(20), 50)])
        [draws] = drawn(one)
        assert draws.accuracy.std() == pytest.approx((0.25 / 20) ** 0.5, rel=0.05)
        low, high = intervals(one, table(one)).accuracy or (0, 0)
        alone = wilson(500, 1000) or (0, 0)
        assert high - low > 5 * (alone[1] - alone[0])

    def test_a_class_that_stands_in_too_few_groups_has_no_interval(self) -> None:
        """b stands in two of four groups, a in all."""
        truth = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
        said = [0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1]
        one = answered(truth, said, named=list("ppqqrrsspqpq"))
        found = intervals(one, table(one))
        assert found.per_class["b"] == {"precision": None, "recall": None, "f1": None}
        assert found.per_class["a"]["recall"] is not None
        assert found.macro_f1 is None
        assert "only 4 groups, so they are too narrow" in found.method

    def test_draws_that_say_nothing(self) -> None:
        assert interval(np.full(2000, np.nan)) is None
        assert interval(np.r_[np.full(1900, np.nan), np.linspace(0, 1, 100)]) is None
        assert interval(np.linspace(0, 1, 2001)) == pytest.approx((0.025, 0.975))

    def test_for_people(self) -> None:
        assert figure(0.8, (0.49024, 0.9433)) == "0.800 (0.49-0.94)"
        assert figure(0.8) == "0.800"
        assert figure(0.0, rows=0) == "-"

    @settings(max_examples=50)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=40))
    def test_a_tally_is_scored_as_the_rows_are(self, rows: list[tuple[int, int]]) -> None:
        names = ("a", "b", "c", "d", None)
        truth, said = (np.array(column) for column in zip(*rows, strict=True))
        (of_truth, of_said), which = kinds(truth, said)
        found = figured(np.bincount(which)[None].astype(float), of_truth, of_said, classes=4)
        wanted = scores([names[at] for at in truth], [names[at] for at in said], names[:4])
        assert found.accuracy[0] == pytest.approx(wanted["accuracy"])
        assert found.macro_f1[0] == pytest.approx(wanted["macro_f1"])
        for at, one in enumerate(wanted["per_class"].values()):
            if one["support"]:
                assert found.recall[0, at] == pytest.approx(one["recall"])
                assert found.f1[0, at] == pytest.approx(one["f1"])
                assert np.nan_to_num(found.precision[0, at]) == pytest.approx(one["precision"])


class TestCalibration:
    ROWS = sure([0, 0, 1, 1], [[0.9, 0.1], [0.92, 0.08], [0.92, 0.08], [0.4, 0.6]])

    def test_worked_by_hand(self) -> None:
        """In (14/15, 15/15] none, in (13/15, 14/15] three of mean 0.9133 and 2/3 right, in (8/15, 9/15] one of 0.6."""
        found = calibration(self.ROWS)
        assert found is not None
        assert {one.rows: (one.low, one.high) for one in found.bins if one.rows} == {
            3: pytest.approx((13 / 15, 14 / 15)),
            1: pytest.approx((8 / 15, 9 / 15)),
        }
        assert found.error == pytest.approx((3 * (2.74 / 3 - 2 / 3) + 1 * 0.4) / 4)
        assert (found.confidence, found.accuracy) == (pytest.approx(3.34 / 4), 3 / 4)
        assert found.bins[0].accuracy is None
        said = "Expected calibration error 0.285 (15 bins): mean confidence 0.835, most probable class right 0.750"
        assert said in found.sentence()

    def test_a_model_that_knows_how_sure_it_is(self) -> None:
        found = calibration(sure([0, 0, 0, 1], [[0.75, 0.25]] * 4))
        assert found is not None
        assert found.error == 0
        assert found.sentence().endswith("right 0.750.")

    @pytest.mark.parametrize(
        ("right", "rows", "said"), [(80, 100, "too sure"), (8, 10, None), (1000, 1000, "not sure")]
    )
    def test_a_tendency_is_named_where_there_are_rows_enough_to_show_it(
        self, right: int, rows: int, said: str | None
    ) -> None:
        """Of a confidence of 0.94: 80 of 100 may be 0.867 at most, 8 of 10 up to 0.943."""
        found = calibration(sure([0] * right + [1] * (rows - right), [[0.94, 0.06]] * rows))
        assert found is not None
        assert (said is None) == found.sentence().endswith(f"right {right / rows:.3f}.")
        assert said is None or said in found.sentence()

    def test_rows_not_asked_about_are_left_out(self) -> None:
        nothing = [float("nan")] * 2
        assert calibration(sure([0, 1], [[1.0, 0.0], nothing])) == calibration(sure([0], [[1.0, 0.0]]))
        assert calibration(sure([0], [nothing])) is None

    def test_its_picture(self) -> None:
        found = calibration(self.ROWS)
        assert isinstance(found, Calibration)
        assert calibration_png(found).startswith(b"\x89PNG")


class TestCurves:
    def test_worked_by_hand(self) -> None:
        """b scores 0.9 and 0.7, the others 0.8 and 0.1: three of four pairs in order; AP = (1 + 2/3) / 2."""
        one = sure([1, 0, 1, 0], [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]])
        found = {each.name: each for each in curves(one)}["b"]
        assert found.roc_area == pytest.approx(3 / 4)
        assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)

    def test_a_class_without_rows_or_without_others_has_none(self) -> None:
        assert curves(sure([0, 0], [[1, 0], [0, 1]])) == []
        nothing = [float("nan")] * 2
        assert curves(sure([0, 1], [[1, 0], nothing])) == []  # the only b was not asked about

    @pytest.mark.parametrize("classes", [2, 20])
    def test_its_picture(self, classes: int) -> None:
        random = np.random.RandomState(0)
        probabilities = random.dirichlet(np.ones(classes), 200)
        one = Answers(
            tuple(["$a$", "_b", *map(str, range(classes))][:classes]),
            random.randint(0, classes, 200),
            probabilities.argmax(axis=1),
            probabilities,
        )
        assert curves_png(curves(one)).startswith(b"\x89PNG")

    def test_a_long_table_has_the_same_areas_and_no_more_points_than_a_picture_shows(self) -> None:
        drawn = np.random.RandomState(0)
        truth = drawn.randint(2, size=9000)
        scores = drawn.normal(truth, 1)
        probability = 1 / (1 + np.exp(-scores))
        said = (probability > 0.5).astype(np.intp)
        answers = Answers(("a", "b"), truth.astype(np.intp), said, np.column_stack([1 - probability, probability]))
        found = curves(answers)[1]
        assert found.roc_area == pytest.approx(0.76, abs=0.01)  # of normals one deviation apart: Phi(1 / sqrt 2)
        assert len(found.recall) == len(found.precision) == 4000
        assert (found.recall[0], found.recall[-1], found.precision[-1]) == (1, 0, 1)
        assert (found.found[0], found.found[-1]) == (0, 1)


class TestGroups:
    def test_each_by_itself_the_worst_first(self) -> None:
        """p: both right. q: one of a right, b called a: F1 of a 2/3, of b 0."""
        found = groups(answered([0, 1, 0, 1], [0, 1, 0, 0], named=["p", "p", "q", "q"]), unseen=True)
        assert found is not None
        assert [(one.name, one.rows, one.classes, one.accuracy, one.macro_f1) for one in found.each] == [
            ("q", 2, 2, 0.5, pytest.approx(1 / 3)),
            ("p", 2, 2, 1.0, 1.0),
        ]
        assert found.macro_f1 == pytest.approx(2 / 3)
        assert found.sentence() == (
            "Training saw none of these groups. 2 groups judged apart: mean macro-F1 0.667, median 0.667, "
            "from 0.333 (q) to 1.000."
        )

    def test_a_class_that_a_group_does_not_have_is_not_held_against_it(self) -> None:
        found = groups(answered([0, 0], [0, 0], classes=4, named=["p", "p"]), unseen=None)
        assert found is not None
        assert (found.each[0].classes, found.each[0].macro_f1) == (1, 1)
        assert found.sentence().startswith("1 group judged apart: ")
        assert groups(answered([0], [0]), unseen=None) is None


class TestMistakes:
    def test_of_very_many_the_surest_are_kept(self) -> None:
        worst = Worst()
        for line in range(5000):
            record = Record(Frame("", 0), class_name="b", confidence=1 - abs(line - 1234) / 5000)
            worst.look(LabelledRow(line, (), "a"), record)
        assert [one.line for one in worst.found[:3]] == [1234, 1233, 1235]
        assert len(worst.found) == 20

    def test_the_surest_first_and_none_that_was_not_asked(self) -> None:
        rows = [LabelledRow(line, (float(line),), "a") for line in range(2, 32)]
        records = [
            Record(Frame("", 0), class_name="b", confidence=line / 100, label="unknown" if line == 30 else "b")
            for line in range(2, 32)
        ]
        records[0] = Record(Frame("", 0))
        records[-1] = Record(Frame("", 0), class_name="a", confidence=0.99, label="a")
        worst = Worst()
        for row, record in zip(rows, records, strict=True):
            worst.look(row, record)
        found = worst.found
        assert [one.line for one in found] == list(range(30, 10, -1))
        assert found[0].document(["x"]) == {
            "line": 30,
            "values": {"x": 30.0},
            "expected": "a",
            "got": "b",
            "confidence": 0.3,
            "published": "unknown",
        }

    def test_values_with_their_units(self) -> None:
        from ampedge.model.manifest import Feature

        ranges = {"minimum": 0.0, "maximum": 1.0, "mean": 0.0, "std": 1.0}
        features = [Feature(name="thd", unit="%", **ranges), Feature(name="n", **ranges)]
        assert described(features, [4.81234567, 100000.0]) == ["thd 4.81235 %", "n 100000"]


def test_rows_beside_what_the_pipeline_made_of_them() -> None:
    rows = [LabelledRow(2, (), "b", "p"), LabelledRow(3, (), "a", "q")]
    records = [Record(Frame("", 0), class_name="a", probabilities=(0.75, 0.25)), Record(Frame("", 0))]
    gathered = outcomes(rows, zip(rows, records, strict=True), ("a", "b"))
    assert gathered.published == {"right": 0, "wrong": 0, "unknown": 2}
    assert [mistake.line for mistake in gathered.worst] == []  # without a confidence it is none
    found = gathered.answers
    assert (found.truth.tolist(), found.said.tolist(), found.groups) == ([1, 0], [0, -1], ("p", "q"))
    assert found.asked.tolist() == [True, False]
    assert np.isnan(found.probabilities[1]).all()
