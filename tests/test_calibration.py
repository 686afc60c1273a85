"""The temperature: found again where it is known, and no certainty from a few rows that were all right."""

import numpy as np
import pytest

from ampedge.training.fitting.calibration import temperature


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("true", [0.6, 1.0, 2.5])
def test_what_scores_were_multiplied_by_is_found_again(true: float) -> None:
    drawn = np.random.RandomState(0)
    scores = drawn.normal(0, 2, (20_000, 4))
    chances = softmax(scores)
    targets = (drawn.uniform(size=(20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1).astype(np.int32)
    assert temperature(softmax(scores * true), targets) == pytest.approx(true, rel=0.03)


def test_rows_that_were_all_right_ask_for_a_little_more_certainty_only() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]] * 10)
    assert 0.5 < temperature(probabilities, np.array([0, 1] * 10, dtype=np.int32)) < 1


def test_certainty_that_was_wrong_is_taken_back() -> None:
    """Probabilities of 0 have a logarithm, too."""
    probabilities = np.array([[1.0, 0.0]] * 50)
    assert temperature(probabilities, np.array([0] * 40 + [1] * 10, dtype=np.int32)) > 4


def test_rows_of_one_group_are_one_witness() -> None:
    """Ten groups of which all rows are wrong together say little; as rows of their own they would say much."""
    probabilities = np.array([[0.99, 0.01]] * 1000)
    targets = np.repeat([0] * 6 + [1] * 4, 100).astype(np.int32)
    groups = [f"run {row // 100}" for row in range(1000)]
    assert temperature(probabilities, targets) > 4
    assert 1 < temperature(probabilities, targets, groups) < 3
    assert temperature(probabilities, targets, [str(row) for row in range(1000)]) == temperature(probabilities, targets)
