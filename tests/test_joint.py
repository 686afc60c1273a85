"""The joint envelope: combinations that no single range shows, and rows of the same kind that pass."""

import numpy as np
import pytest

from ampedge.errors import ModelRefusedError
from ampedge.model.joint import JointEnvelope
from ampedge.model.manifest import ClassEnvelope
from ampedge.training.fitting import joint as training_joint
from ampedge.training.fitting.joint import joint, widened
from tests.support.bundles import centre_layers, make_bundle

SPEED_AND_TORQUE = np.array([[1.0, 0.9], [0.9, 1.0]])


def correlated(rows: int, seed: int = 0) -> np.ndarray:
    """Two tags that rise and fall together, each with a deviation of 1."""
    return np.random.RandomState(seed).multivariate_normal([0, 0], SPEED_AND_TORQUE, rows)


def flagged(envelope: list[ClassEnvelope], rows: np.ndarray, place: int = 0) -> float:
    """The share of rows beyond the limit of the class at `place`."""
    width = rows.shape[1]
    return float((JointEnvelope([0.0] * width, [1.0] * width, envelope).distances(rows, place) > 1).mean())


def test_the_distance_is_that_of_mahalanobis_worked_out_by_hand() -> None:
    """Centre (2, 0), whitening [[0.5, 1], [0, 2]]: (4, 1) is off by (2, 1), whitened (1, 4), sqrt(17) long."""
    near = ClassEnvelope(limit=2.0, centres=[[2.0, 0.0]], whitenings=[[0.5, 1.0, 2.0]])
    two = ClassEnvelope(limit=1.0, centres=[[9.0, 9.0], [4.0, 1.5]], whitenings=[[1.0, 0.0, 1.0], [1.0, 0.0, 2.0]])
    envelope = JointEnvelope([0.0, 0.0], [1.0, 1.0], [near, two])
    assert envelope.distance((4.0, 1.0), 0) == pytest.approx(17**0.5 / 2)
    assert envelope.distance((4.0, 1.0), 1) == pytest.approx(1.0)  # of two components, the nearer one
    assert envelope.distances(np.array([[2.0, 0.0], [4.0, 1.0]]), 0) == pytest.approx([0, 17**0.5 / 2])
    scaled = JointEnvelope([100.0, -1.0], [10.0, 0.5], [near, two])
    assert scaled.distance((140.0, -0.5), 0) == pytest.approx(17**0.5 / 2)


def test_values_beyond_arithmetic_are_not_within_the_limit() -> None:
    one = ClassEnvelope(limit=1.0, centres=[[0.0]], whitenings=[[1.0]])
    envelope = JointEnvelope([0.0], [1.0], [one])
    for value in (1e300, -1e300, float("inf"), float("nan")):
        assert not envelope.distance((value,), 0) <= 1


def test_a_combination_is_found_that_no_range_shows() -> None:
    rows = correlated(2000)
    envelope = joint(rows, np.zeros(2000, dtype=np.int32), None, 1)
    assert envelope is not None
    assert flagged(envelope, correlated(5000, seed=1)) <= 0.02
    against = np.column_stack([np.linspace(1.5, 2.5, 50), -np.linspace(1.5, 2.5, 50)])
    assert (np.abs(against) < np.abs(rows).max(axis=0)).all()  # each value by itself is well within the others
    assert flagged(envelope, against) == 1


def test_each_class_has_its_own() -> None:
    rows = np.vstack([correlated(500), correlated(500, seed=1) * [1, -1]])
    envelope = joint(rows, np.repeat([0, 1], 500).astype(np.int32), None, 2)
    assert envelope is not None
    falling = np.array([[2.0, -2.0]])
    assert (flagged(envelope, falling, place=0), flagged(envelope, falling, place=1)) == (1, 0)


def test_a_ring_has_a_hole() -> None:
    angle = np.random.RandomState(0).uniform(0, 2 * np.pi, 3000)
    rows = np.column_stack([np.cos(angle), np.sin(angle)]) * 3
    envelope = joint(rows, np.zeros(3000, dtype=np.int32), None, 1)
    assert envelope is not None
    assert flagged(envelope, rows) <= 0.02
    assert flagged(envelope, np.zeros((1, 2))) == 1


@pytest.mark.parametrize("rows", [1, 2, 9, 60])
def test_few_rows_of_many_tags_make_one_wide_component(rows: int) -> None:
    drawn = np.random.RandomState(0).normal(size=(rows, 13))
    envelope = joint(drawn, np.zeros(rows, dtype=np.int32), None, 1)
    assert envelope is not None
    assert len(envelope[0].centres) == 1
    assert flagged(envelope, drawn) == 0


def test_a_class_that_never_varies_has_room_for_a_little_noise() -> None:
    envelope = joint(np.zeros((200, 3)), np.zeros(200, dtype=np.int32), None, 1)
    assert envelope is not None
    assert flagged(envelope, np.full((1, 3), 0.02)) == 0
    assert flagged(envelope, np.full((1, 3), 0.5)) == 1


def test_groups_that_differ_widen_the_limits() -> None:
    drawn = np.random.RandomState(0)
    groups = np.repeat([f"run {at}" for at in range(12)], 50)
    rows = drawn.normal(size=(600, 2)) * 0.1 + np.repeat(drawn.normal(size=(12, 2)), 50, axis=0)
    targets = np.zeros(600, dtype=np.int32)
    mixed, apart, one = (joint(rows, targets, of, 1) for of in (None, groups, np.repeat("all", 600)))
    assert mixed is not None
    assert apart is not None
    assert one == mixed
    assert apart[0].limit > 2 * mixed[0].limit


def test_rows_of_validation_widen_the_limits_and_never_narrow_them() -> None:
    envelope = [ClassEnvelope(limit=2.0, centres=[[0.0]], whitenings=[[1.0]])]
    said = np.zeros(1000, dtype=np.intp)
    wide = np.full((1000, 1), 1.0)
    assert widened(envelope, wide, said)[0].limit == 2.0
    wide[:10] = 6.0
    assert widened(envelope, wide, said)[0].limit == pytest.approx(6.0)
    wide[5:10] = 1.0  # 5 of 1000 may be beyond
    assert widened(envelope, wide, said)[0].limit == 2.0


def test_too_many_tags_for_the_manifest_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, targets = np.random.RandomState(0).normal(size=(400, 4)), np.zeros(400, dtype=np.int32)
    monkeypatch.setattr(training_joint, "_MOST_NUMBERS", 28)
    two = joint(rows, targets, None, 1)
    assert two is not None
    assert len(two[0].centres) == 2  # of 4 + 4 * 5 / 2 numbers each
    monkeypatch.setattr(training_joint, "_MOST_NUMBERS", 13)
    assert joint(rows, targets, None, 1) is None


ONE = ClassEnvelope(limit=1.0, centres=[[0.0, 0.0]], whitenings=[[1.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    "joint_of_two",
    [
        [ONE],
        [ONE, ONE, ONE],
        [ONE, ClassEnvelope(limit=1.0, centres=[[0.0]], whitenings=[[1.0, 0.0, 1.0]])],
        [ONE, ClassEnvelope(limit=1.0, centres=[[0.0, 0.0]], whitenings=[[1.0, 0.0]])],
        [ONE, ClassEnvelope(limit=1.0, centres=[[0.0, 0.0]] * 2, whitenings=[[1.0, 0.0, 1.0]])],
    ],
)
def test_an_envelope_of_another_shape_is_refused(tmp_path, joint_of_two: list[ClassEnvelope]) -> None:
    with pytest.raises(ModelRefusedError, match="joint envelope"):
        make_bundle(
            tmp_path / "model",
            classes=("a", "b"),
            mean=(0.0, 0.0),
            std=(1.0, 1.0),
            layers=centre_layers(np.array([[-1.0, 0.0], [1.0, 0.0]])),
            joint=joint_of_two,
        )
